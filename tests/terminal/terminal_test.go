package terminal

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// What a program sees that asks for its terminal.
func TestProgramHasATerminal(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	starts(t, func(t *testing.T, o core.ProcessOptions) {
		o.Argv = []string{"sh", "-c", `test -t 0 -a -t 1 -a -t 2 && echo all; stty size; echo $TERM; echo through >/dev/tty; read line </dev/tty; echo "<$line>"; exit 5`}
		p := on(t, sb, o)
		p.expect("all\r\n24 80\r\nxterm\r\nthrough\r\n")
		p.keys("hello\r")
		p.expect("hello\r\n<hello>\r\n")
		p.exits(5)
		p.end()
	})
}

func TestTerminalHasTheSizeThatWasAskedFor(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p := on(t, sb, core.ProcessOptions{Argv: []string{"stty", "size"}, Window: core.TerminalSize{Rows: 1, Cols: 65535}})
	p.expect("1 65535\r\n")
	p.exits(0)
	p = on(t, sb, core.ProcessOptions{Argv: []string{"sh", "-c", "stty size; echo $TERM"}, Env: []string{"TERM=vt52"}, Window: core.TerminalSize{Rows: 50}})
	p.expect("50 80\r\nvt52\r\n")
	p.exits(0)
}

func TestResize(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	starts(t, func(t *testing.T, o core.ProcessOptions) {
		o.Argv = []string{"sh", "-c", `trap 'stty size' WINCH; echo up; while :; do sleep 0.05; done`}
		p := on(t, sb, o)
		p.expect("up\r\n")
		require.NoError(t, p.Resize(core.TerminalSize{Rows: 40, Cols: 132}))
		p.expect("40 132\r\n")
		// The master can do it, too.
		require.NoError(t, core.TerminalSize{Rows: 11, Cols: 22}.SetFile(p.master))
		p.expect("11 22\r\n")
		require.NoError(t, p.Signal(int(syscall.SIGKILL)))
		harness.Wait(t, p.Done(), "the end")
		err := p.Resize(core.TerminalSize{Rows: 10, Cols: 10})
		assert.ErrorIs(t, err, &fault.Error{Code: fault.Done})
	})
}

func TestResizeIsRefused(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p := run(t, sb, "sleep", "1000")
	for _, size := range []core.TerminalSize{{}, {Rows: 24}, {Cols: 80}, {Rows: 65536, Cols: 80}, {Rows: 24, Cols: 1 << 31}} {
		err := p.Resize(size)
		assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, "%v", size)
	}
	require.NoError(t, p.Resize(core.TerminalSize{Rows: 65535, Cols: 65535}))
	plain := harness.Start(t, sb, core.ProcessOptions{Argv: []string{"sleep", "1000"}}).Running()
	err := plain.Resize(core.TerminalSize{Rows: 24, Cols: 80})
	assert.ErrorIs(t, err, &fault.Error{Code: fault.State})
	assert.ErrorContains(t, err, "no terminal")
}

func TestKindsDoNotMix(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	for i := range 3 {
		for _, kind := range []uint32{core.StdioNull, core.StdioPipe, core.StdioInherit, core.StdioLog} {
			mixed := pty
			mixed[i] = core.Stdio{Kind: kind}
			_, err := sb.Start(core.ProcessOptions{Argv: []string{"true"}, Stdio: mixed})
			require.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, "%v", mixed)
			assert.ErrorContains(t, err, "one terminal for all of")
		}
	}
	_, err := sb.Start(core.ProcessOptions{Argv: []string{"true"}, Window: core.TerminalSize{Rows: 24}})
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid})
	_, err = sb.Start(core.ProcessOptions{Argv: []string{"true"}, Stdio: pty, Window: core.TerminalSize{Cols: 65536}})
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid})
	_, err = sb.Start(core.ProcessOptions{Argv: []string{"true"}, Stdio: pty, OutputLimit: 1})
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid})
	assert.ErrorContains(t, err, "not counted")
}

// There is one master, whichever stream it is asked for by.
func TestMasterIsTakenOnce(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p, err := sb.Start(core.ProcessOptions{Argv: []string{"cat"}, Stdio: pty})
	require.NoError(t, err)
	defer p.Close()
	fd, err := p.Stdio(2)
	require.NoError(t, err)
	s := newScreen(t, fd)
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.Equal(t, unix.FD_CLOEXEC, flags)
	for which := range 3 {
		_, err := p.Stdio(which)
		require.ErrorIs(t, err, &fault.Error{Code: fault.State})
	}
	s.keys("typed before it ran\r" + ctrlD)
	s.expect("typed before it ran\r\ntyped before it ran\r\n")
	s.end()
}

// A start that fails gives the caller the end of its terminal.
func TestFailedStartEndsTheTerminal(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p, err := sb.Start(core.ProcessOptions{Argv: []string{"/no/such/program"}, Stdio: pty})
	require.NoError(t, err)
	defer p.Close()
	fd, err := p.Stdio(0)
	require.NoError(t, err)
	s := newScreen(t, fd)
	harness.Wait(t, p.Ready(), "the failure")
	assert.ErrorIs(t, p.StartErr(), &fault.Error{Code: fault.Exec})
	s.end()
}

// The last of what a program says is not lost when it ends, and nobody has to read
// before.
func TestOutputOutlivesTheProgram(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p, err := sb.Start(core.ProcessOptions{Argv: []string{"sh", "-c", "seq 600; printf end"}, Stdio: pty})
	require.NoError(t, err)
	defer p.Close()
	harness.Wait(t, p.Done(), "the end")
	fd, err := p.Stdio(0)
	require.NoError(t, err)
	s := newScreen(t, fd)
	s.end()
	var want strings.Builder
	for i := range 600 {
		fmt.Fprintf(&want, "%d\r\n", i+1)
	}
	assert.Equal(t, want.String()+"end", s.text())
}

// A reader that stalls stops the program, not the sandbox.
func TestStalledReaderStopsTheWriter(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p, err := sb.Start(core.ProcessOptions{Argv: []string{"sh", "-c", "seq 200000; echo all"}, Stdio: pty})
	require.NoError(t, err)
	defer p.Close()
	harness.Wait(t, p.Ready(), "the start")
	fd, err := p.Stdio(0)
	require.NoError(t, err)
	assert.Equal(t, "other\n", harness.Output(t, sb, "echo other"))
	select {
	case <-p.Done():
		t.Fatal("1.3 MB fit into a terminal")
	case <-time.After(200 * time.Millisecond):
	}
	s := newScreen(t, fd)
	s.expect("\r\n200000\r\nall\r\n")
	harness.Wait(t, p.Done(), "the end")
}

// The limits of programs hold with a terminal.
func TestWallLimitAndKill(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	p := on(t, sb, core.ProcessOptions{Argv: []string{"bash", "-ic", "sleep 1000"}, WallLimit: 300 * time.Millisecond})
	harness.Wait(t, p.Done(), "the limit")
	assert.Equal(t, handle.CauseWallLimit, p.Outcome().Cause)
	p.end()
	p = on(t, sb, core.ProcessOptions{Argv: []string{"bash", "-i"}, Env: []string{"PS1=ready> "}})
	p.expect("ready> ")
	p.keys("sleep 1000 & setsid sleep 1000 & echo up-$((40+2))\r")
	p.expect("up-42")
	require.NoError(t, p.Signal(int(syscall.SIGKILL)))
	harness.Wait(t, p.Done(), "the kill")
	p.end() // nobody is left that has it open
	noProgram(t, sb, "sleep 1000")
}

// noProgram waits until no process of the guest has such a command line.
func noProgram(t *testing.T, sb *core.Sandbox, command string) {
	t.Helper()
	script := `for d in /proc/[0-9]*; do tr '\0' ' ' <$d/cmdline; echo; done 2>/dev/null`
	require.Eventually(t, func() bool {
		return !strings.Contains(harness.Output(t, sb, script), command)
	}, harness.Limit, 20*time.Millisecond, "%s is still there", command)
}

// A terminal costs one process and no descriptor once its program has ended.
func TestNothingIsLeft(t *testing.T) {
	sb := harness.Create(t, hostRoot(t))
	harness.Output(t, sb, "true")
	pid := int(sb.Pid())
	before := len(harness.Tree(t, pid))
	open := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		require.NoError(t, err)
		return len(entries)
	}
	at := open()
	p := run(t, sb, "sleep", "1000")
	assert.Len(t, harness.Tree(t, pid), before+1)
	p.hangUp()
	harness.Wait(t, p.Done(), "the end")
	for range 20 {
		p := run(t, sb, "true")
		harness.Wait(t, p.Done(), "the end")
		p.hangUp()
	}
	require.Eventually(t, func() bool { return len(harness.Tree(t, pid)) == before }, harness.Limit, 5*time.Millisecond)
	require.Eventually(t, func() bool { return open() <= at+2 }, harness.Limit, 5*time.Millisecond, "idle connections aside: %d, then %d", at, open())
}
