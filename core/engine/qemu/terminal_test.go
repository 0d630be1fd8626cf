package qemu

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
	"github.com/libmicrosandbox/microsandbox/core/terminal"
)

// A shell with job control on a terminal of the host: keys, its size, and the hang-up.
func TestProgramOnATerminal(t *testing.T) {
	cfg := testConfig(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m, err := NewTCG().Boot(ctx, cfg)
	require.NoError(t, err)
	defer m.Close()

	fd, slave, err := terminal.Open(terminal.Size{Rows: 33, Cols: 77})
	require.NoError(t, err)
	require.NoError(t, unix.SetNonblock(fd, true)) // for its deadline
	master := os.NewFile(uintptr(fd), "master")
	defer master.Close()
	stdio := [3]*os.File{os.NewFile(uintptr(slave), "slave")}
	for i := 1; i < 3; i++ {
		dup, err := unix.FcntlInt(uintptr(slave), unix.F_DUPFD_CLOEXEC, 3)
		require.NoError(t, err)
		stdio[i] = os.NewFile(uintptr(dup), "slave")
	}
	env := append([]string{"PS1=ready> "}, enginetest.DefaultEnv...)
	p, err := m.Start(ctx, engine.Program{Argv: []string{"sh", "-i"}, Env: env, Stdio: stdio, Terminal: true})
	require.NoError(t, err)

	shown, buf := "", make([]byte, 4096)
	require.NoError(t, master.SetDeadline(time.Now().Add(limit)))
	await := func(want string) {
		t.Helper()
		for !strings.Contains(shown, want) {
			n, err := master.Read(buf)
			require.NoError(t, err, "waiting for %q: %q", want, shown)
			shown += string(buf[:n])
		}
		_, shown, _ = strings.Cut(shown, want)
	}
	keys := func(text string) {
		t.Helper()
		_, err := master.WriteString(text)
		require.NoError(t, err)
	}
	await("ready> ")
	keys("stty size\r")
	await("33 77\r\n")
	await("ready> ")
	require.NoError(t, terminal.Size{Rows: 44, Cols: 66}.SetFile(master))
	foreground := m.(engine.Terminals)
	require.NoError(t, foreground.SignalForeground(p, syscall.SIGWINCH))
	keys("stty size\r")
	await("44 66\r\n")
	await("ready> ")
	for _, interrupt := range []func(){
		func() { keys("\x03") },
		func() { require.NoError(t, foreground.SignalForeground(p, syscall.SIGINT)) },
	} {
		// Not a shell's own read: a signal that comes just before that is lost on it.
		keys("echo up-$((40+2)) >/tmp/f; busybox tail -f /tmp/f\r")
		await("up-42\r\n")
		interrupt()
		await("ready> ")
		keys("echo code=$?\r")
		await("code=130\r\n")
		await("ready> ")
	}
	require.NoError(t, master.Close())
	status, err := p.Wait()
	require.NoError(t, err)
	require.True(t, status.Exited() || status.Signal() == syscall.SIGHUP, "%v", status)
}
