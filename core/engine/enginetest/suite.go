// Package enginetest has the tests that every engine passes: one table of what programs
// may rely on. An engine's own tests call the methods of a Suite.
package enginetest

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// Timeout bounds each wait of a test.
const Timeout = 60 * time.Second

// DefaultEnv is the environment of programs in tests.
var DefaultEnv = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root", "LANG=C.UTF-8"}

// Suite is an engine to be tested.
type Suite struct {
	// Boot boots a machine with a directory as its root, below a writable layer of 64
	// MiB; "" is the host's root. It is closed when the test ends.
	Boot func(t testing.TB, root string) engine.Machine
	// Ways are environments, of which the engine may start programs in different ways.
	Ways map[string][]string
	// OneID tells that the guest has the ids 0 only.
	OneID bool
	// HostRoot tells that Boot can boot the host's root.
	HostRoot bool
	// FixedRlimits are resources whose limits the engine cannot change.
	FixedRlimits []uint32
}

// applets are what busybox is linked to.
const applets = "sh echo cat true false sleep ls id env pwd kill touch dd head seq wc stat mkdir rm ps grep printf test cp " +
	"chown chmod hostname ifconfig ln mv setsid unshare cut tty stty"

// Root makes a directory with busybox and its applets, which all of the guest's users
// may read, and a /tmp for all of them.
func Root(t testing.TB) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox-static")
	}
	dir, err := os.MkdirTemp("", "msb-root-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	for _, d := range []string{"bin", "tmp", "root", "etc"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "tmp"), os.ModeSticky|0o777))
	data, err := os.ReadFile(busybox)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755))
	for _, a := range strings.Fields(applets) {
		require.NoError(t, os.Symlink("busybox", filepath.Join(dir, "bin", a)))
	}
	return dir
}

// Result is how a program ended.
type Result struct {
	Out, Err string
	Status   syscall.WaitStatus
}

// Running is a program whose output is being collected.
type Running struct {
	engine.Process
	t        testing.TB
	out, err chan string
}

// Spawn starts a program with pipes for its output.
func Spawn(t testing.TB, m engine.Machine, p engine.Program) (*Running, error) {
	t.Helper()
	r := &Running{t: t}
	p.Stdio[1], r.out = Collect(t)
	p.Stdio[2], r.err = Collect(t)
	if p.Env == nil {
		p.Env = DefaultEnv
	}
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	var err error
	r.Process, err = m.Start(ctx, p)
	return r, err
}

// Collect returns the write end of a pipe and a channel for all that is written to it.
func Collect(t testing.TB) (*os.File, chan string) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	all := make(chan string, 1)
	go func() {
		data, _ := io.ReadAll(r)
		r.Close()
		all <- string(data)
	}()
	return w, all
}

// Result waits for the end.
func (r *Running) Result() Result {
	r.t.Helper()
	status, err := r.Wait()
	require.NoError(r.t, err)
	return Result{<-r.out, <-r.err, status}
}

// Run runs a program to its end.
func Run(t testing.TB, m engine.Machine, argv ...string) Result {
	t.Helper()
	p, err := Spawn(t, m, engine.Program{Argv: argv})
	require.NoError(t, err)
	return p.Result()
}

// Output runs a program that must succeed and returns what it prints.
func Output(t testing.TB, m engine.Machine, argv ...string) string {
	t.Helper()
	r := Run(t, m, argv...)
	require.Equal(t, syscall.WaitStatus(0), r.Status, "%v: %s%s", argv, r.Out, r.Err)
	return strings.TrimSpace(r.Out)
}

// Families runs the tests of programs with all that they start.
func (s Suite) Families(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"KillEndsTheFamily": s.KillEndsTheFamily, "OtherSignals": s.OtherSignals, "SignalAll": s.SignalAll,
		"FamiliesThatEnd": s.FamiliesThatEnd, "Usage": s.Usage, "ExitCodesAndSignals": s.ExitCodesAndSignals,
	} {
		t.Run(name, test)
	}
}

// All runs every test of the suite.
func (s Suite) All(t *testing.T) {
	for name, test := range s.Tests() {
		t.Run(name, test)
	}
}

// Tests are the suite's, by name.
func (s Suite) Tests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"StartErrors": s.StartErrors, "CwdWithoutPermission": s.CwdWithoutPermission, "ExactBytes": s.ExactBytes,
		"LongArgumentList": s.LongArgumentList, "RefusesNUL": s.RefusesNUL, "ExitCodesAndSignals": s.ExitCodesAndSignals,
		"KillEndsTheFamily": s.KillEndsTheFamily, "OtherSignals": s.OtherSignals, "SignalAll": s.SignalAll,
		"UserGroupsUmaskAndLimits": s.UserGroupsUmaskAndLimits, "LimitsThatCannotBeSet": s.LimitsThatCannotBeSet,
		"LimitsAreEnforced": s.LimitsAreEnforced, "ProcessorLimit": s.ProcessorLimit, "Usage": s.Usage,
		"FamiliesThatEnd": s.FamiliesThatEnd, "LimitsAreTheProgramsOwn": s.LimitsAreTheProgramsOwn,
	}
}
