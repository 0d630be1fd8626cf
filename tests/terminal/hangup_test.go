package terminal

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// Closing the master is the hang-up: a program that does nothing about it ends.
func TestHangUpEndsTheProgram(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	starts(t, func(t *testing.T, o core.ProcessOptions) {
		o.Argv = []string{"sleep", "1000"}
		p := on(t, sb, o)
		p.hangUp()
		harness.Wait(t, p.Done(), "the hang-up")
		assert.Equal(t, handle.CauseSignaled, p.Outcome().Cause)
		assert.Equal(t, int32(syscall.SIGHUP), p.Outcome().Signal)
	})
}

// So does a shell with what it runs, in the foreground, stopped and in the background.
func TestHangUpEndsAShellAndItsJobs(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p := on(t, sb, core.ProcessOptions{Argv: []string{"bash", "-i"}, Env: []string{"PS1=ready> "}})
	p.expect("ready> ")
	p.keys("sleep 1001 &\r")
	p.expect("ready> ")
	p.keys(reader + " sleep 1002\r") // its name
	p.expect("up-42")
	p.keys(ctrlZ)
	p.expect("Stopped")
	p.keys("sh -c 'echo up-$((40+2)); exec sleep 1003'\r")
	p.expect("up-42")
	p.hangUp()
	harness.Wait(t, p.Done(), "the hang-up")
	for _, job := range []string{"sleep 1001", "sleep 1002", "sleep 1003"} {
		noProgram(t, sb, job)
	}
}

// What does not want to end goes on without a terminal.
func TestProgramMaySurviveAHangUp(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p := run(t, sb, "sh", "-c", `trap 'echo hung >/tmp/hung' HUP; echo up; while test ! -e /tmp/hung; do sleep 0.05; done; read line; echo "read=$?" >>/tmp/hung; exit 9`)
	p.expect("up\r\n")
	p.hangUp()
	p.exits(9)
	assert.Equal(t, "hung\nread=1\n", harness.Output(t, sb, "cat /tmp/hung"), "reading is at its end")
}

// When a shell is killed, what it had in the foreground is hung up, as on Linux.
func TestForegroundEndsWithItsShell(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p := on(t, sb, core.ProcessOptions{Argv: []string{"bash", "-i"}, Env: []string{"PS1=ready> "}})
	p.expect("ready> ")
	p.keys("sh -c 'echo up-$((40+2)); kill -9 $PPID; exec sleep 1004'\r")
	p.expect("up-42")
	harness.Wait(t, p.Done(), "the end of the shell")
	noProgram(t, sb, "sleep 1004")
	p.end()
}

// A hang-up before the program ran is none the less one.
func TestHangUpBeforeTheStart(t *testing.T) {
	o := hostRoot(t)
	sb, err := core.Create(o)
	require.NoError(t, err)
	defer harness.End(t, sb)
	p, err := sb.Start(core.ProcessOptions{Argv: []string{"sleep", "1000"}, Stdio: pty}) // it boots
	require.NoError(t, err)
	p.Close() // with the master that nobody took
	harness.Wait(t, p.Done(), "the end")
	if err := p.StartErr(); err != nil {
		assert.Contains(t, []fault.Code{fault.State, fault.Closed}, fault.From(err).Code, "%v", err)
	}
}

// Someone kills the helper: the program has no terminal any more, and is told so. The
// sandbox and its other programs go on.
func TestDeadHelperIsAHangUp(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	other := run(t, sb, "cat")
	others := helpers(t, sb)
	p := run(t, sb, "sleep", "1000")
	for _, pid := range helpers(t, sb) {
		if pid != others[0] {
			require.NoError(t, unix.Kill(pid, unix.SIGKILL))
		}
	}
	harness.Wait(t, p.Done(), "the hang-up")
	assert.Equal(t, int32(syscall.SIGHUP), p.Outcome().Signal)
	p.end()
	other.keys("still here\r")
	other.expect("still here\r\nstill here\r\n")
}

// A stopped helper delays what it tells, and nobody's end.
func TestStoppedHelper(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p := run(t, sb, "sh", "-c", "trap 'echo int; exit 4' INT; echo up; while :; do sleep 0.05; done")
	p.expect("up\r\n")
	helper := helpers(t, sb)[0]
	require.NoError(t, unix.Kill(helper, unix.SIGSTOP))
	p.keys(ctrlC)
	require.NoError(t, p.Resize(core.TerminalSize{Rows: 10, Cols: 10}))
	require.NoError(t, unix.Kill(helper, unix.SIGCONT))
	p.expect("int\r\n")
	p.exits(4)

	p = run(t, sb, "sleep", "1000")
	helper = helpers(t, sb)[0]
	require.NoError(t, unix.Kill(helper, unix.SIGSTOP))
	require.NoError(t, p.Signal(int(syscall.SIGKILL)))
	harness.Wait(t, p.Done(), "the end")
	p.end()
	require.Eventually(t, func() bool { return len(helpers(t, sb)) == 0 }, harness.Limit, tick)
}
