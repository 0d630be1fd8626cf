package agent

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
)

// terminal is a program with a terminal, and what it has shown.
type terminal struct {
	*Process
	t       testing.TB
	in, out *os.File
	shown   string
}

func startTerminal(t testing.TB, m *machine, argv ...string) *terminal {
	t.Helper()
	stdin, in, err := os.Pipe()
	require.NoError(t, err)
	out, stdout, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { in.Close(); out.Close() })
	program := engine.Program{Argv: argv, Env: enginetest.DefaultEnv, Stdio: [3]*os.File{stdin, stdout}}
	p, err := m.StartTerminal(t.Context(), program, wire.Size{Rows: 33, Cols: 77})
	require.NoError(t, err)
	return &terminal{Process: p, t: t, in: in, out: out}
}

// await reads until the program has shown text.
func (p *terminal) await(text string) {
	p.t.Helper()
	require.NoError(p.t, p.out.SetReadDeadline(time.Now().Add(enginetest.Timeout)))
	buf := make([]byte, 4096)
	for !strings.Contains(p.shown, text) {
		n, err := p.out.Read(buf)
		require.NoError(p.t, err, "waiting for %q, seen %q", text, p.shown)
		p.shown += string(buf[:n])
	}
	_, p.shown, _ = strings.Cut(p.shown, text)
}

func (p *terminal) send(text string) {
	p.t.Helper()
	_, err := p.in.WriteString(text)
	require.NoError(p.t, err)
}

func TestTerminal(t *testing.T) {
	for _, kill := range how(t) {
		t.Run(kill, func(t *testing.T) {
			m := boot(t, kill, enginetest.Root(t))
			p := startTerminal(t, m, "sh", "-i")
			p.await("# ")
			p.send("tty; stty size; echo end\n")
			p.await("/dev/pts/0\r\n33 77\r\nend\r\n")
			p.send("sleep 1000\n")
			p.await("sleep 1000\r\n")
			p.awaitForeground(m, "sleep")
			p.send("\x03")
			p.await("^C")
			p.send("sleep 1000\n")
			p.await("sleep 1000\r\n")
			p.awaitForeground(m, "sleep")
			p.send("\x1a")
			p.await("topped")
			p.send("fg\n")
			p.awaitForeground(m, "sleep")
			require.NoError(t, p.SignalForeground(unix.SIGTERM))
			p.await("erminated")
			p.send("exit 7\n")
			status, err := p.Wait()
			require.NoError(t, err)
			require.Equal(t, 7, status.ExitStatus())
		})
	}
}

func TestResize(t *testing.T) {
	m := bootOne(t)
	p := startTerminal(t, m, "sh", "-c", "trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.01; done")
	p.await("ready\r\n")
	require.NoError(t, p.Resize(wire.Size{Rows: 5, Cols: 6}))
	p.await("5 6\r\n")
	status, err := p.Wait()
	require.NoError(t, err)
	require.Equal(t, 3, status.ExitStatus())
	require.ErrorIs(t, p.Resize(wire.Size{Rows: 1, Cols: 1}), unix.ESRCH)
}

// awaitForeground waits until a program runs in the terminal's foreground group.
func (p *terminal) awaitForeground(m *machine, name string) {
	p.t.Helper()
	// Fields of stat: pid, comm, state, parent, group, session, terminal, foreground group.
	script := `cat /proc/[0-9]*/stat 2>/dev/null | while read pid comm state parent group session tty front rest; do
		[ "$comm $state" = "(` + name + `) S" ] && [ $group = $front ] && echo yes; done; :`
	require.Eventually(p.t, func() bool {
		return enginetest.Output(p.t, m, "sh", "-c", script) == "yes"
	}, enginetest.Timeout, time.Millisecond)
}

// What a program has written to its terminal is there when its end is told.
func TestTerminalOutputIsWhole(t *testing.T) {
	m := bootOne(t)
	for range 20 {
		p := startTerminal(t, m, "sh", "-c", "i=0; while [ $i -lt 500 ]; do echo $i; i=$((i+1)); done")
		all := make(chan string, 1)
		go func() {
			var text strings.Builder
			buf := make([]byte, 4096)
			for {
				n, err := p.out.Read(buf)
				text.Write(buf[:n])
				if err != nil {
					all <- text.String()
					return
				}
			}
		}()
		status, err := p.Wait()
		require.NoError(t, err)
		require.Zero(t, status)
		text := <-all
		require.True(t, strings.HasPrefix(text, "0\r\n1\r\n") && strings.HasSuffix(text, "498\r\n499\r\n"), "%q", text)
	}
}

// A terminal that nobody reads any more hangs up.
func TestTerminalHangsUp(t *testing.T) {
	m := bootOne(t)
	p := startTerminal(t, m, "sh", "-c", "while :; do echo x; done")
	p.await("x")
	require.NoError(t, p.out.Close())
	status, err := p.Wait()
	require.NoError(t, err)
	require.True(t, status.Signaled() && status.Signal() == syscall.SIGHUP, "%v", status)
}

func TestNoTerminal(t *testing.T) {
	m := bootOne(t)
	p := startPiped(t, m, "cat")
	require.ErrorIs(t, p.Process.(*Process).Resize(wire.Size{Rows: 1, Cols: 1}), unix.ENOTTY)
	require.ErrorIs(t, p.Process.(*Process).SignalForeground(unix.SIGINT), unix.ENOTTY)
	require.NoError(t, p.in.Close())
	require.Zero(t, p.wait(t))
}

// A terminal of the guest that shows on one of the host.
func TestOnTerminal(t *testing.T) {
	m := bootOne(t)
	start := func(script string) (*terminal, *os.File) {
		master, slave := hostTerminal(t)
		stdio := [3]*os.File{slave}
		for i := range 2 {
			fd, err := unix.FcntlInt(slave.Fd(), unix.F_DUPFD_CLOEXEC, 3)
			require.NoError(t, err)
			stdio[i+1] = os.NewFile(uintptr(fd), "slave")
		}
		p, err := m.StartOnTerminal(t.Context(), engine.Program{Argv: []string{"sh", "-c", script}, Env: enginetest.DefaultEnv, Stdio: stdio})
		require.NoError(t, err)
		return &terminal{Process: p, t: t, in: master, out: master}, master
	}
	p, master := start("trap 'stty size' WINCH; trap 'echo int' INT; stty size; tty; echo ready; while :; do sleep 0.01; done")
	p.await("40 100\r\n/dev/pts/")
	p.await("ready\r\n")
	resize(t, master, 5, 6)
	require.NoError(t, p.SignalForeground(unix.SIGWINCH))
	p.await("5 6\r\n")
	p.send("\x03")
	p.await("int\r\n")
	require.NoError(t, p.Signal(unix.SIGKILL))
	_, err := p.Wait()
	require.NoError(t, err)

	// The kernel ends a read before it sends the signal.
	p, master = start("echo ready; read x; exec sleep 60")
	p.await("ready\r\n")
	require.NoError(t, master.Close())
	status, err := p.Wait()
	require.NoError(t, err)
	require.Equal(t, syscall.SIGHUP, status.Signal(), "the last master was closed")

	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	_, err = m.StartOnTerminal(t.Context(), engine.Program{Argv: []string{"true"}, Stdio: [3]*os.File{r}})
	require.ErrorIs(t, err, unix.ENOTTY)
}

func resize(t testing.TB, master *os.File, rows, cols uint16) {
	t.Helper()
	raw, err := master.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		require.NoError(t, unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}))
	}))
}

// hostTerminal makes a pseudo-terminal of 40 rows.
func hostTerminal(t testing.TB) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	master = os.NewFile(uintptr(fd), "master")
	t.Cleanup(func() { master.Close() })
	resize(t, master, 40, 100)
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return master, slave
}
