package escape

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// box is a sandbox with the probes in it.
func box(t *testing.T) (*core.Sandbox, string) {
	t.Helper()
	path := probes(t)
	sb := harness.New(t)
	upload(t, sb, path)
	return sb, path
}

// insideWith runs a probe in a sandbox, with a stdin that the host gives.
func insideWith(t *testing.T, sb *core.Sandbox, stdin *os.File, args ...string) answer {
	t.Helper()
	p := harness.Start(t, sb, core.ProcessOptions{
		Argv: append([]string{guestProbes}, args...), Stdio: [3]core.Stdio{harness.FD(stdin), harness.Pipe, harness.Null},
	})
	p.Running()
	out, err := io.ReadAll(p.Out)
	require.NoError(t, err)
	p.End()
	return answer(out)
}

func outsideWith(t *testing.T, path string, stdin *os.File, args ...string) answer {
	t.Helper()
	null, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer null.Close()
	r, wr, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	p, err := os.StartProcess(path, append([]string{path}, args...), &os.ProcAttr{Files: []*os.File{stdin, wr, os.Stderr}, Env: []string{}})
	wr.Close()
	require.NoError(t, err)
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	p.Wait()
	return answer(out)
}

func socketpair(t *testing.T) (ours, theirs *os.File) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	ours, theirs = os.NewFile(uintptr(p[0]), "ours"), os.NewFile(uintptr(p[1]), "theirs")
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	return ours, theirs
}

// received is how many descriptors lie in a socket.
func received(t *testing.T, f *os.File) int {
	t.Helper()
	data, oob := make([]byte, 64), make([]byte, 256)
	_, n, _, _, err := unix.Recvmsg(int(f.Fd()), data, oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err == unix.EAGAIN {
		return 0
	}
	require.NoError(t, err)
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	require.NoError(t, err)
	count := 0
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		require.NoError(t, err)
		count += len(fds)
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	return count
}

func TestNoDescriptorLeavesThroughStdio(t *testing.T) {
	sb, path := box(t)
	ours, theirs := socketpair(t)
	assert.Regexp(t, "^denied: sendmsg: ENOTSOCK", string(insideWith(t, sb, theirs, "pass_out", "/dev/null", "0")))
	assert.Zero(t, received(t, ours))
	assert.True(t, outsideWith(t, path, theirs, "pass_out", "/dev/null", "0").reached(), "control")
	assert.Equal(t, 1, received(t, ours), "control")
}

func TestNoDescriptorEntersThroughStdio(t *testing.T) {
	w := newWorld(t)
	sb := harness.New(t)
	upload(t, sb, w.probes)
	file, err := os.Open(filepath.Join(w.dir, "secret"))
	require.NoError(t, err)
	defer file.Close()
	send := func(ours *os.File) {
		require.NoError(t, unix.Sendmsg(int(ours.Fd()), []byte("x"), unix.UnixRights(int(file.Fd())), nil, 0))
	}
	ours, theirs := socketpair(t)
	send(ours)
	assert.Regexp(t, "^denied: recvmsg: ENOTSOCK", string(insideWith(t, sb, theirs, "pass_in", w.secret)))
	ours, theirs = socketpair(t)
	send(ours)
	assert.Regexp(t, "^denied: 0 to 2 alone", string(insideWith(t, sb, theirs, "descriptors")))
	ours, theirs = socketpair(t)
	send(ours)
	assert.True(t, outsideWith(t, w.probes, theirs, "pass_in", w.secret).reached(), "control")
}

// A file given for reading cannot be written, though the caller's descriptor could.
func TestGivenFileIsForReading(t *testing.T) {
	sb, path := box(t)
	name := filepath.Join(t.TempDir(), "given")
	require.NoError(t, os.WriteFile(name, []byte("given"), 0o666))
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	assert.Regexp(t, "^denied: (open for writing|write): ", string(insideWith(t, sb, file, "stdio_reopen", "0")))
	data, _ := os.ReadFile(name)
	assert.Equal(t, "given", string(data))
	assert.True(t, outsideWith(t, path, file, "stdio_reopen", "0").reached(), "control")
}

// The guest must not make what it was given executable for everybody. Inside it
// seems to: the mode that it sees is the sentry's own.
func TestGivenFileKeepsItsMode(t *testing.T) {
	sb, path := box(t)
	name := filepath.Join(t.TempDir(), "given")
	require.NoError(t, os.WriteFile(name, nil, 0o600))
	file, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	require.NoError(t, err)
	defer file.Close()
	p := harness.Start(t, sb, core.ProcessOptions{
		Argv:  []string{guestProbes, "stdio_mode", "2"},
		Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.FD(file)},
	})
	out, err := io.ReadAll(p.Out)
	require.NoError(t, err)
	for _, got := range []answer{insideWith(t, sb, file, "stdio_mode", "0"), answer(out)} {
		st, err := os.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), st.Mode(), got)
	}
	assert.True(t, outsideWith(t, path, file, "stdio_mode", "0").reached(), "control")
}

func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("needs /dev/ptmx: ", err)
	}
	t.Cleanup(func() { master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		t.Skip("needs pseudo terminals: ", errno)
	}
	slave = os.NewFile(fd, "slave")
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// typed is how many bytes of input the terminal holds.
func typed(t *testing.T, slave *os.File) int {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	require.NoError(t, err)
	state.Lflag &^= unix.ICANON
	require.NoError(t, unix.IoctlSetTermios(int(slave.Fd()), unix.TCSETS, state))
	n, err := unix.IoctlGetInt(int(slave.Fd()), unix.TIOCINQ)
	require.NoError(t, err)
	return n
}

func TestNothingIsTypedIntoTheTerminal(t *testing.T) {
	sb, path := box(t)
	_, slave := openTerminal(t)
	before, err := slave.Stat()
	require.NoError(t, err)
	assert.Regexp(t, "^denied: ioctl: ", string(insideWith(t, sb, slave, "terminal_inject")))
	assert.Zero(t, typed(t, slave))
	got := insideWith(t, sb, slave, "stdio_mode", "0")
	after, err := slave.Stat()
	require.NoError(t, err)
	assert.Equal(t, before.Mode(), after.Mode(), got)
	if host("/proc/sys/dev/tty/legacy_tiocsti") == "0" && os.Geteuid() != 0 {
		t.Skip("denied inside; the control outside needs a kernel with dev.tty.legacy_tiocsti=1, or root")
	}
	assert.True(t, outsideWith(t, path, slave, "terminal_inject").reached(), "control")
	assert.Equal(t, 1, typed(t, slave), "control")
}
