package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/tests/subprocess"
)

const helperVariable = "PROCESS_TEST_HELPER"

// The main goroutine stays on the first thread, so that a helper can end just that.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	switch os.Getenv(helperVariable) {
	case "first thread ends":
		ready := make(chan struct{})
		go func() {
			<-ready
			say()
		}()
		close(ready)
		unix.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	case "waits":
		say()
	case "no descriptors":
		noDescriptors()
	}
	os.Exit(m.Run())
}

// say tells that the helper has come so far, and ends it with its input.
func say() {
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// noDescriptors asks for its parent when no more descriptors can be opened.
func noDescriptors() {
	parent, err := Of(os.Getppid())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: 3})
	_, err = StartTime(parent.Pid)
	fmt.Println(parent.Alive(), parent.Found(), err)
	os.Exit(0)
}

// helper starts one and returns once it has said a line.
func helper(t *testing.T, what string) *subprocess.Child {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVariable+"="+what)
	return subprocess.Start(t, cmd)
}

func TestAnotherProcessWithTheId(t *testing.T) {
	me, err := Self()
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), me.Pid)
	assert.True(t, me.Alive() && me.Found())
	for _, other := range []ID{{Pid: me.Pid, Start: me.Start + 1}, {Pid: me.Pid}, {}, {Pid: -1}, {Pid: 1 << 30}} {
		assert.False(t, other.Alive() || other.Found(), "%v", other)
	}
	_, err = Of(1 << 30)
	assert.ErrorIs(t, err, os.ErrProcessDone)
}

func TestZombieHasEnded(t *testing.T) {
	h := helper(t, "waits")
	p, err := Of(h.Pid())
	require.NoError(t, err)
	require.True(t, p.Alive() && p.Found())
	require.NoError(t, h.Stdin.Close())
	require.NoError(t, unix.Waitid(unix.P_PID, p.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil))
	assert.False(t, p.Alive() || p.Found(), "it waits to be reaped")
	_, err = StartTime(p.Pid)
	assert.ErrorIs(t, err, os.ErrProcessDone)
	require.NoError(t, h.Wait())
	assert.False(t, p.Alive() || p.Found())
}

// TestFirstThreadHasEnded: the process lives in its other threads and keeps its files.
func TestFirstThreadHasEnded(t *testing.T) {
	h := helper(t, "first thread ends")
	require.Equal(t, "ready", h.Said)
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", h.Pid()))
		return err == nil && strings.Contains(string(text), ") Z ")
	}, 20*time.Second, time.Millisecond, "its first thread ends")
	p, err := Of(h.Pid())
	require.NoError(t, err)
	assert.True(t, p.Alive() && p.Found())
}

// TestWithoutDescriptors: what cannot be asked has not ended, nor is it known to live.
func TestWithoutDescriptors(t *testing.T) {
	assert.Regexp(t, `^true false read /proc/\./\d+/stat: too many open files$`, helper(t, "no descriptors").Said)
}
