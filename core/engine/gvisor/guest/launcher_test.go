package guest_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/guest"
)

// The launcher makes plain system calls: it runs on the host as well as in a guest.

const unchanged = 0xffffffff

// Stages of the launcher's errors.
const (
	stageExec   = 8
	stageCwd    = 9
	stageRlimit = 100
)

// launcher is the embedded file.
func launcher(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "launcher")
	require.NoError(t, os.WriteFile(path, guest.Launcher, 0o755))
	return path
}

type rlimit struct{ resource, soft, hard uint64 }

type request struct {
	cwd       string
	argv, env []string
	umask     uint32
	limits    []rlimit
}

func (r request) encode() []byte {
	parts := append(append([]string{r.cwd}, r.argv...), r.env...)
	text := strings.Join(parts, "\x00") + "\x00"
	var out []byte
	for _, n := range []int{len(r.argv), len(r.env), len(text), int(r.umask), len(r.limits), 0} {
		out = binary.LittleEndian.AppendUint32(out, uint32(n))
	}
	for _, l := range r.limits {
		for _, n := range []uint64{l.resource, l.soft, l.hard} {
			out = binary.LittleEndian.AppendUint64(out, n)
		}
	}
	return append(out, text...)
}

// launch runs a request and returns the program's output and the launcher's status.
func launch(t *testing.T, data []byte) (out string, status []byte) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "request")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	in, err := os.Open(file)
	require.NoError(t, err)
	defer in.Close()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	cmd := exec.Command(launcher(t))
	cmd.Args = []string{"launch"}
	cmd.ExtraFiles = []*os.File{in, write}
	var text bytes.Buffer
	cmd.Stdout = &text
	require.NoError(t, cmd.Start())
	write.Close()
	status = make([]byte, 16)
	n, _ := read.Read(status) // at the latest at the program's start: it is close-on-exec
	cmd.Wait()
	return text.String(), status[:n]
}

func refused(t *testing.T, r request, stage uint32, errno syscall.Errno) {
	t.Helper()
	out, status := launch(t, r.encode())
	require.Len(t, status, 8)
	assert.Empty(t, out)
	assert.Equal(t, stage, binary.LittleEndian.Uint32(status))
	assert.Equal(t, errno, syscall.Errno(binary.LittleEndian.Uint32(status[4:])))
}

func TestLaunch(t *testing.T) {
	out, status := launch(t, request{
		cwd: "/usr", argv: []string{"sh", "-c", `pwd; umask; ulimit -n; echo "$A|$1|$2|$#"; for i in 3 4; do [ ! -e /proc/$$/fd/$i ] || echo "open: $i"; done`, "0", "b\xff", ""},
		env: []string{"A=\xfe", "PATH=/nonexistent::/usr/bin:/bin"}, umask: 0o027, limits: []rlimit{{7, 63, 64}},
	}.encode())
	assert.Empty(t, status)
	assert.Equal(t, "/usr\n0027\n63\n\xfe|b\xff||2\n", out)

	out, status = launch(t, request{argv: []string{"/bin/sh", "-c", "echo $PATH"}, env: []string{"PATH="}, umask: unchanged}.encode())
	assert.Empty(t, status)
	assert.Equal(t, "\n", out)
}

func TestLaunchErrors(t *testing.T) {
	env := []string{"PATH=/bin:/usr/bin"}
	data := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(data, []byte("\x00\x01 no program"), 0o755))
	refused(t, request{argv: []string{"no-such-program"}, env: env, umask: unchanged}, stageExec, syscall.ENOENT)
	refused(t, request{argv: []string{""}, env: env, umask: unchanged}, stageExec, syscall.ENOENT)
	refused(t, request{argv: []string{"/etc"}, env: env, umask: unchanged}, stageExec, syscall.EACCES)
	refused(t, request{argv: []string{data}, env: env, umask: unchanged}, stageExec, syscall.ENOEXEC)
	refused(t, request{argv: []string{strings.Repeat("n", 5000)}, env: env, umask: unchanged}, stageExec, syscall.ENAMETOOLONG)
	refused(t, request{cwd: "/nonexistent", argv: []string{"true"}, env: env, umask: unchanged}, stageCwd, syscall.ENOENT)
	refused(t, request{argv: []string{"true"}, env: env, umask: unchanged, limits: []rlimit{{7, 10, 10}, {999, 1, 1}}},
		stageRlimit|1<<16, syscall.EINVAL)
	whole := request{argv: []string{"true"}, env: env, umask: unchanged}.encode()
	_, status := launch(t, whole[:len(whole)-1])
	require.Len(t, status, 8, "a request that is cut off")
	assert.Equal(t, syscall.EIO, syscall.Errno(binary.LittleEndian.Uint32(status[4:])))
}

// blocked is the mask of signals that a process blocks.
func blocked(pid int) uint64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := bytes.Cut(text, []byte("SigBlk:"))
	var mask uint64
	fmt.Sscanf(string(rest), "%x", &mask)
	return mask
}

// TestInit: nothing but SIGKILL ends the guest's first process.
func TestInit(t *testing.T) {
	cmd := exec.Command(launcher(t))
	cmd.Args = []string{"init"}
	require.NoError(t, cmd.Start())
	const wanted = 1<<(syscall.SIGTERM-1) | 1<<(syscall.SIGINT-1) | 1<<(syscall.SIGUSR1-1)
	require.Eventually(t, func() bool { return blocked(cmd.Process.Pid)&wanted == wanted }, 20*time.Second, time.Millisecond)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1} {
		require.NoError(t, cmd.Process.Signal(sig))
	}
	require.NoError(t, cmd.Process.Kill())
	err := cmd.Wait()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())
}

// The umounter waits for its byte, and reports what became of it.
func TestUmounter(t *testing.T) {
	run := func(dir string, told bool) error {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		defer r.Close()
		cmd := exec.Command(launcher(t), "umount", "--sync-fd=3", dir)
		cmd.ExtraFiles = []*os.File{r}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
		if err := cmd.Start(); err != nil {
			w.Close()
			t.Skipf("needs a user namespace: %v", err)
		}
		if told {
			_, err = w.Write([]byte{0})
			require.NoError(t, err)
		}
		w.Close()
		return cmd.Wait()
	}
	assert.NoError(t, run("/nothing is here", false), "the sentry died: nothing is unmounted")
	assert.Error(t, run("/nothing is here", true))
}
