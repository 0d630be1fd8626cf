//go:build linux

package supervise

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/launch"
)

// The supervisor consists of the standard library, a few small packages and our own:
// an import of gVisor's would have to be initialised before it.
func TestTheSupervisorImportsNothingOfGVisor(t *testing.T) {
	list := exec.Command("go", "list", "-deps", ".")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.Output()
	require.NoError(t, err)
	require.Contains(t, string(out), "core/engine/gvisor")
	require.NotContains(t, string(out), "gvisor.dev/")
}

// msb as it is built runs the supervisor before gVisor's large packages.
func TestTheSupervisorRunsBeforeGVisor(t *testing.T) {
	const msb = "../../../build/bin/msb"
	if _, err := os.Stat(msb); err != nil {
		t.Skip("needs msb: run make msb")
	}
	trace := func(command string) string {
		cmd := exec.Command(msb, command)
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	const late = "init gvisor.dev/gvisor/pkg/sentry/kernel @"
	require.Contains(t, trace("version"), late, "the twin: all is initialised")
	said := trace(launch.SuperviseCommand)
	require.Contains(t, said, "this command is for the library only")
	require.NotContains(t, said, late, "an import of the supervisor's sorts after gvisor.dev, or imports what does")
	n := strings.Count(said, "\ninit gvisor.dev/")
	t.Logf("%d of gVisor's packages come before the supervisor", n)
}
