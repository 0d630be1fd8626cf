//go:build linux

package handle_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func statusFlags(t *testing.T, f *os.File) int {
	t.Helper()
	raw, err := f.SyscallConn()
	require.NoError(t, err)
	flags := 0
	require.NoError(t, raw.Control(func(fd uintptr) { flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0) }))
	require.NoError(t, err)
	return flags
}

// raw makes a file of a descriptor that stays blocking.
func raw(t *testing.T, fd int) *os.File {
	t.Helper()
	require.NoError(t, unix.SetNonblock(fd, false))
	f := os.NewFile(uintptr(fd), "raw")
	t.Cleanup(func() { f.Close() })
	return f
}

func pipes(t *testing.T) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	require.NoError(t, unix.Pipe2(fds[:], unix.O_CLOEXEC))
	return raw(t, fds[0]), raw(t, fds[1])
}

func sockets(t *testing.T, kind int) (a, b *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	return raw(t, fds[0]), raw(t, fds[1])
}

// given starts a shell with descriptors of ours.
func given(t *testing.T, sb *core.Sandbox, script string, stdio ...*os.File) *harness.Program {
	t.Helper()
	o := core.ProcessOptions{Argv: []string{"sh", "-c", script}}
	for i, f := range stdio {
		if f != nil {
			o.Stdio[i] = core.Stdio{Kind: core.StdioFD, FD: fdOf(t, f)}
		}
	}
	return harness.Start(t, sb, o)
}

// fdOf is the descriptor; f.Fd() would make it blocking.
func fdOf(t *testing.T, f *os.File) int {
	t.Helper()
	conn, err := f.SyscallConn()
	require.NoError(t, err)
	number := -1
	require.NoError(t, conn.Control(func(fd uintptr) { number = int(fd) }))
	return number
}

func TestMegabytesThroughPipes(t *testing.T) {
	sb := harness.New(t)
	p := harness.Start(t, sb, core.ProcessOptions{Argv: []string{"cat"}, Stdio: [3]core.Stdio{harness.Pipe, harness.Pipe, harness.Null}})
	size := harness.Repeat(8<<20, 256<<20)
	sent, got := sha256.New(), sha256.New()
	go func() {
		block := make([]byte, 1<<16)
		for i := 0; i < size; i += len(block) {
			for j := range block {
				block[j] = byte(i>>16 + j*7)
			}
			sent.Write(block)
			p.Stdin.Write(block)
		}
		p.Stdin.Close()
	}()
	n, err := io.Copy(got, p.Out)
	require.NoError(t, err)
	assert.Equal(t, int64(size), n)
	assert.Equal(t, sent.Sum(nil), got.Sum(nil))
	assert.Zero(t, p.End().ExitCode)
}

func TestNullStreams(t *testing.T) {
	sb := harness.New(t)
	p := given(t, sb, `echo lost; echo lost >&2; read x || exit 4`)
	assert.Equal(t, int32(4), p.End().ExitCode, "nothing to read, and writing works")
}

func TestGivenPipes(t *testing.T) {
	sb := harness.New(t)
	inR, inW := pipes(t)
	outR, outW := pipes(t)
	before := []int{statusFlags(t, inR), statusFlags(t, outW)}
	p := given(t, sb, "cat; echo end", inR, outW, outW)
	_, err := inW.WriteString("through\n")
	require.NoError(t, err)
	p.Running()
	assert.Equal(t, before, []int{statusFlags(t, inR), statusFlags(t, outW)}, "flags while it runs")
	inR.Close()
	outW.Close() // the program's own copies go on
	inW.Close()
	data, err := io.ReadAll(outR)
	require.NoError(t, err)
	assert.Equal(t, "through\nend\n", string(data))
	p.End()
}

// Whatever the host's descriptor is like, the guest's blocks.
func TestGuestStreamsBlock(t *testing.T) {
	sb := harness.New(t)
	for name, ends := range map[string]func(*testing.T) (*os.File, *os.File){
		"pipe": pipes, "socket": func(t *testing.T) (*os.File, *os.File) { return sockets(t, unix.SOCK_STREAM) },
	} {
		for _, nonblock := range []bool{false, true} {
			inR, inW := ends(t)
			outR, outW := ends(t)
			for _, f := range []*os.File{inR, outW} {
				require.NoError(t, unix.SetNonblock(fdOf(t, f), nonblock))
			}
			p := given(t, sb, "sleep 0.2; cat", inR, outW)
			p.Running()
			outW.Close()
			go func() {
				time.Sleep(300 * time.Millisecond) // the read must wait for it
				inW.WriteString("late")
				inW.Close()
			}()
			data, err := io.ReadAll(outR)
			require.NoError(t, err)
			assert.Equal(t, "late", string(data), "%s, nonblocking: %v", name, nonblock)
			assert.Zero(t, p.End().ExitCode)
		}
	}
}

func TestGivenPipeInNonblockingMode(t *testing.T) {
	sb := harness.New(t)
	outR, outW := pipes(t)
	require.NoError(t, unix.SetNonblock(fdOf(t, outW), true))
	flags := statusFlags(t, outW)
	p := given(t, sb, "head -c 300000 /dev/zero", nil, outW)
	p.Running()
	assert.Equal(t, flags, statusFlags(t, outW))
	outW.Close()
	n, err := io.Copy(io.Discard, outR)
	require.NoError(t, err)
	assert.Equal(t, int64(300000), n, "a full pipe loses nothing")
	assert.Zero(t, p.End().ExitCode)
}

func TestGivenFiles(t *testing.T) {
	sb := harness.New(t)
	open := func(name string, flags int) *os.File {
		f, err := os.OpenFile(filepath.Join(t.TempDir(), name), flags|os.O_CREATE, 0o600)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	read := func(f *os.File) string {
		data, err := os.ReadFile(f.Name())
		require.NoError(t, err)
		return string(data)
	}
	for name, flag := range map[string]int{"plain": 0, "append": os.O_APPEND} {
		t.Run(name, func(t *testing.T) {
			f := open(name, os.O_RDWR|flag)
			_, err := f.WriteString("ours,")
			require.NoError(t, err)
			before := statusFlags(t, f)
			p := given(t, sb, `for i in 1 2 3; do echo out$i; echo err$i >&2; done`, nil, f, f)
			assert.Zero(t, p.End().ExitCode)
			assert.Equal(t, before, statusFlags(t, f))
			want := "ours,out1\nerr1\nout2\nerr2\nout3\nerr3\n"
			assert.Equal(t, want, read(f), "after what we wrote, and in order")
			_, err = f.WriteString("ours again")
			require.NoError(t, err)
			assert.Equal(t, want+"ours again", read(f), "we go on after what it wrote")
		})
	}
	t.Run("read from the present offset", func(t *testing.T) {
		f := open("in", os.O_RDWR)
		_, err := f.WriteString("skipped,read")
		require.NoError(t, err)
		_, err = f.Seek(8, io.SeekStart)
		require.NoError(t, err)
		outR, outW := pipes(t)
		p := given(t, sb, "cat", f, outW)
		p.Running()
		outW.Close()
		data, err := io.ReadAll(outR)
		require.NoError(t, err)
		assert.Equal(t, "read", string(data))
		p.End()
	})
}

func TestGivenSockets(t *testing.T) {
	sb := harness.New(t)
	ours, theirs := sockets(t, unix.SOCK_STREAM)
	before := statusFlags(t, theirs)
	p := given(t, sb, `read x; echo "got $x"; head -c 1000000 /dev/zero`, theirs, theirs, theirs)
	_, err := ours.WriteString("line\n")
	require.NoError(t, err)
	buf := make([]byte, 9)
	_, err = io.ReadFull(ours, buf)
	require.NoError(t, err)
	assert.Equal(t, "got line\n", string(buf))
	assert.Equal(t, before, statusFlags(t, theirs))
	n, err := io.CopyN(io.Discard, ours, 1000000)
	require.NoError(t, err)
	assert.Equal(t, int64(1000000), n)
	assert.Zero(t, p.End().ExitCode)
}

// The end is told once the socket has taken everything, as if the program itself
// had written to it.
func TestSocketIsCompleteAtTheEnd(t *testing.T) {
	sb := harness.New(t)
	ours, theirs := sockets(t, unix.SOCK_STREAM)
	require.NoError(t, unix.SetsockoptInt(fdOf(t, theirs), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096))
	const size = 60000 // more than the socket, less than the pipe before it
	p := given(t, sb, fmt.Sprintf("head -c %d /dev/zero", size), nil, theirs)
	p.Running()
	n, err := io.CopyN(io.Discard, ours, size)
	assert.NoError(t, err)
	assert.Equal(t, int64(size), n)
	assert.Zero(t, p.End().ExitCode)
}

// terminal opens a pty whose output is not processed.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { master.Close() })
	fd := fdOf(t, master)
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { slave.Close() })
	term, err := unix.IoctlGetTermios(fdOf(t, slave), unix.TCGETS)
	require.NoError(t, err)
	term.Lflag &^= unix.ECHO
	term.Oflag &^= unix.OPOST
	require.NoError(t, unix.IoctlSetTermios(fdOf(t, slave), unix.TCSETS, term))
	return master, slave
}

func TestGivenTerminal(t *testing.T) {
	sb := harness.New(t)
	master, slave := terminal(t)
	before := statusFlags(t, slave)
	p := given(t, sb, `read x; echo "got $x"; echo err >&2`, slave, slave, slave)
	_, err := master.WriteString("line\n")
	require.NoError(t, err)
	buf := make([]byte, len("got line\nerr\n"))
	_, err = io.ReadFull(master, buf)
	require.NoError(t, err)
	assert.Equal(t, "got line\nerr\n", string(buf))
	assert.Equal(t, before, statusFlags(t, slave))
	assert.Zero(t, p.End().ExitCode)
}

// Opening the master's device anew would make another terminal.
func TestGivenTerminalMaster(t *testing.T) {
	sb := harness.New(t)
	master, slave := terminal(t)
	p := given(t, sb, `echo hello`, nil, master)
	buf := make([]byte, len("hello\n"))
	done := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(slave, buf)
		done <- err
	}()
	select {
	case err := <-done:
		require.NoError(t, err)
		assert.Equal(t, "hello\n", string(buf))
	case <-time.After(10 * time.Second):
		t.Error("the output went to another terminal")
		master.Close()
	}
	p.End()
}

func TestGivenDevNull(t *testing.T) {
	sb := harness.New(t)
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	require.NoError(t, err)
	defer null.Close()
	p := given(t, sb, "read x || echo gone; exit 3", null, null, null)
	assert.Equal(t, int32(3), p.End().ExitCode)
}

func TestDescriptorsThatAreRefused(t *testing.T) {
	harness.NoLeaks(t)
	sb := harness.New(t)
	r, w := pipes(t)
	for name, stdio := range map[string][3]core.Stdio{
		"closed":         {{Kind: core.StdioFD, FD: 10000}},
		"negative":       {{}, {Kind: core.StdioFD, FD: -1}},
		"unknown kind":   {{}, {}, {Kind: 9}},
		"second of them": {harness.Pipe, {Kind: core.StdioFD, FD: 10000}, harness.Pipe},
	} {
		_, err := sb.Start(core.ProcessOptions{Argv: []string{"true"}, Stdio: stdio})
		assert.ErrorIs(t, err, code(fault.Invalid), name)
	}
	for name, p := range map[string]*harness.Program{
		"write end as stdin": given(t, sb, "true", w), "read end as stdout": given(t, sb, "true", nil, r),
	} {
		harness.Wait(t, p.Done(), name)
		assert.ErrorIs(t, p.StartErr(), code(fault.Invalid), name)
		assert.Equal(t, fault.StageStdio, fault.From(p.StartErr()).Stage)
	}
	assert.Zero(t, given(t, sb, "true", r, w).End().ExitCode, "the right way round")
}

func TestPipeEndsCanBeTakenOnce(t *testing.T) {
	sb := harness.New(t)
	p, err := sb.Start(core.ProcessOptions{Argv: []string{"true"}, Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.Null}})
	require.NoError(t, err)
	defer p.Close()
	fd, err := p.Stdio(1)
	require.NoError(t, err)
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.FD_CLOEXEC)
	assert.Empty(t, readFD(fd))
	for _, which := range []int{0, 1, 2} {
		_, err = p.Stdio(which)
		assert.ErrorIs(t, err, code(fault.State))
	}
	for _, which := range []int{-1, 3} {
		_, err = p.Stdio(which)
		assert.ErrorIs(t, err, code(fault.Invalid))
	}
}

// A child that holds the output, silent or busy, keeps nobody from the end.
func TestBackgroundChildDoesNotHoldUpTheEnd(t *testing.T) {
	for name, script := range map[string]string{"silent": "sleep 1000 & echo up", "busy": "yes & echo up"} {
		for _, kind := range []string{"pipe", "socket", "file"} {
			t.Run(name+" "+kind, func(t *testing.T) {
				sb := harness.New(t)
				var ours, theirs *os.File
				switch kind {
				case "pipe":
					ours, theirs = pipes(t)
				case "socket":
					ours, theirs = sockets(t, unix.SOCK_STREAM)
				case "file":
					f, err := os.Create(filepath.Join(t.TempDir(), "out"))
					require.NoError(t, err)
					defer f.Close()
					theirs = f
				}
				if ours != nil {
					go io.Copy(io.Discard, ours)
				}
				p := given(t, sb, script, nil, theirs)
				assert.Zero(t, p.End().ExitCode)
				harness.End(t, sb)
				if ours != nil && kind == "pipe" {
					theirs.Close()
				}
			})
		}
	}
}

// What a program wrote is complete when its end is told.
func TestOutputIsCompleteAtTheEnd(t *testing.T) {
	sb := harness.New(t)
	path := filepath.Join(t.TempDir(), "out")
	for i := range harness.Repeat(10, 200) {
		f, err := os.Create(path)
		require.NoError(t, err)
		p := given(t, sb, "seq 1 1000", nil, f)
		p.End()
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, 1000, strings.Count(string(data), "\n"), "run %d", i)
		f.Close()
	}
}

// Inherited descriptors: a subprocess whose 0, 1 and 2 are pipes.
func TestInheritedStreams(t *testing.T) {
	if os.Getenv("MSB_TEST_INHERIT") == "1" {
		sb := harness.New(t)
		inherit := core.Stdio{Kind: core.StdioInherit}
		p := harness.Start(t, sb, core.ProcessOptions{
			Argv: []string{"sh", "-c", "read x; echo out $x; echo err >&2"}, Stdio: [3]core.Stdio{inherit, inherit, inherit},
		})
		p.End()
		return
	}
	cmd := self(t, "TestInheritedStreams", "MSB_TEST_INHERIT=1")
	cmd.Stdin = strings.NewReader("word\n")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run())
	assert.Contains(t, out.String(), "out word\n")
	assert.Equal(t, "err\n", errs.String())
}

// What the host has open without close-on-exec is not held by a supervisor.
func TestSupervisorHoldsNothingOfTheHost(t *testing.T) {
	r, w := pipes(t)
	_, err := unix.FcntlInt(uintptr(fdOf(t, w)), unix.F_SETFD, 0)
	require.NoError(t, err)
	sb := harness.New(t)
	w.Close()
	fds := []unix.PollFd{{Fd: int32(fdOf(t, r)), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 5000)
	require.NoError(t, err)
	assert.Equal(t, 1, n, "the pipe has reached its end")
	assert.Equal(t, "in", harness.Output(t, sb, "printf in"))
}
