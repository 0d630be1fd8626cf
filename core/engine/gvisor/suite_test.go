package gvisor

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// twice is an environment that only the launcher can carry.
var twice = append([]string{"TWICE=1", "TWICE=2"}, defaultEnv...)

// ways are the environments with which programs start over gVisor's own call
// and through the launcher.
var ways = map[string][]string{"direct": defaultEnv, "launcher": twice}

// suite has what all engines have in common.
var suite = enginetest.Suite{
	Boot: func(t testing.TB, root string) engine.Machine {
		if root == "" {
			return bootMachine(t, newConfig(t, image.Root{}))
		}
		return bootMachine(t, newConfig(t, image.Root{Kind: image.Dir, Path: root}))
	},
	Ways: ways, HostRoot: true, FixedRlimits: []uint32{unix.RLIMIT_MSGQUEUE},
}

func TestStartErrors(t *testing.T)                      { suite.StartErrors(t) }
func TestCwdWithoutPermission(t *testing.T)             { suite.CwdWithoutPermission(t) }
func TestExactBytes(t *testing.T)                       { suite.ExactBytes(t) }
func TestLongArgumentList(t *testing.T)                 { suite.LongArgumentList(t) }
func TestRefusesNUL(t *testing.T)                       { suite.RefusesNUL(t) }
func TestExitCodesAndSignals(t *testing.T)              { suite.ExitCodesAndSignals(t) }
func TestKillEndsTheFamily(t *testing.T)                { suite.KillEndsTheFamily(t) }
func TestOtherSignalsReachTheProgramAlone(t *testing.T) { suite.OtherSignals(t) }
func TestFamiliesThatEnd(t *testing.T)                  { suite.FamiliesThatEnd(t) }
func TestSignalAll(t *testing.T)                        { suite.SignalAll(t) }
func TestUserGroupsUmaskAndLimits(t *testing.T)         { suite.UserGroupsUmaskAndLimits(t) }
func TestLimitsThatCannotBeSet(t *testing.T)            { suite.LimitsThatCannotBeSet(t) }
func TestLimitsAreEnforced(t *testing.T)                { suite.LimitsAreEnforced(t) }
func TestProcessorLimit(t *testing.T)                   { suite.ProcessorLimit(t) }
func TestLimitsAreTheProgramsOwn(t *testing.T)          { suite.LimitsAreTheProgramsOwn(t) }
func TestUsage(t *testing.T)                            { suite.Usage(t) }

func TestTheWaysAreTwo(t *testing.T) {
	for _, program := range []string{"true", "/bin/true"} {
		require.True(t, carriesExactly(engine.Program{Argv: []string{program, "x"}, Env: defaultEnv}))
		require.False(t, carriesExactly(engine.Program{Argv: []string{program, "x"}, Env: twice}))
	}
}
