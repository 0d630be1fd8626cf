//go:build linux

package launch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func code(c fault.Code) error { return &fault.Error{Code: c} }

const limit = 20 * time.Second

func TestExecutablesThatCannotStart(t *testing.T) {
	harness.NoLeaks(t)
	for name, c := range map[string]struct {
		path  string
		code  fault.Code
		errno syscall.Errno
	}{
		"missing":        {"/no/such/msb", fault.NotFound, syscall.ENOENT},
		"directory":      {t.TempDir(), fault.Permission, syscall.EACCES},
		"not executable": {writeFile(t, "msb", "#!/bin/sh\n", 0o600), fault.Permission, syscall.EACCES},
		"no program":     {writeFile(t, "msb", "neither ELF nor script", 0o700), fault.Launch, syscall.ENOEXEC},
		"empty":          {writeFile(t, "msb", "", 0o700), fault.Launch, syscall.ENOEXEC},
		"no interpreter": {writeFile(t, "msb", "#!/no/such/interpreter\n", 0o700), fault.NotFound, syscall.ENOENT},
	} {
		child, err := launch.Start(context.Background(), c.path, control.Config{})
		require.Error(t, err, name)
		assert.Nil(t, child)
		e := fault.From(err)
		assert.Equal(t, c.code, e.Code, "%s: %v", name, err)
		assert.Equal(t, c.errno, e.Errno, "%s: %v", name, err)
		assert.Equal(t, fault.StageLaunch, e.Stage)
		assert.Contains(t, e.Message, c.path)
	}
}

func TestSupervisorsThatMisbehave(t *testing.T) {
	harness.NoLeaks(t)
	for what, text := range map[string]string{
		"exit":           "exited with code 7 before its startup line: stderr ends with \"no such luck",
		"die":            "killed by signal 9",
		"garbage":        "not a supervisor: its first line is \"\\x01garbage",
		"empty line":     "not a supervisor",
		"half a line":    "not a supervisor",
		"other protocol": "install the msb of the library's version",
		"other pid":      "must not be a wrapper",
		"close":          "closed its startup pipe",
	} {
		_, err := begin(t, what, limit)
		require.Error(t, err, what)
		assert.ErrorIs(t, err, code(fault.Launch), what)
		assert.Equal(t, fault.StageLaunch, fault.From(err).Stage)
		assert.ErrorContains(t, err, text)
		assert.NotContains(t, err.Error(), "\n", "one line")
	}
}

func TestHangingSupervisorIsTimedOutAndKilled(t *testing.T) {
	harness.NoLeaks(t)
	const wait = 300 * time.Millisecond
	begun := time.Now()
	_, err := begin(t, "hang", wait)
	assert.GreaterOrEqual(t, time.Since(begun), wait)
	assert.Less(t, time.Since(begun), 5*time.Second)
	assert.ErrorIs(t, err, code(fault.TimedOut))
	assert.ErrorContains(t, err, "no startup line in time")
}

func TestCancelledStartLeavesNothing(t *testing.T) {
	harness.NoLeaks(t)
	cause := errors.New("enough")
	for i := range harness.Repeat(20, 200) {
		ctx, cancel := context.WithCancelCause(context.Background())
		timer := time.AfterFunc(time.Duration(i)*time.Millisecond, func() { cancel(cause) })
		_, err := launch.Start(ctx, self(t), control.Config{Name: "hang"})
		assert.Equal(t, cause, err)
		timer.Stop()
	}
}

func TestWhatTheChildGets(t *testing.T) {
	t.Setenv("MSB_LEAKED", "environment")
	// Descriptors of the host at the numbers that the child uses, and far up,
	// without close-on-exec: none may arrive.
	var fds []int
	for _, number := range []int{3, 4, 5, 6, 7, 50, 200} {
		fd, err := unix.FcntlInt(uintptr(os.Stderr.Fd()), unix.F_DUPFD_CLOEXEC, number)
		require.NoError(t, err)
		fds = append(fds, fd)
	}
	defer control.CloseAll(fds)
	var child *launch.Child
	var err error
	onThread(func() { child, err = begin(t, "report", limit) })
	require.NoError(t, err)
	m, _, err := child.Control.Recv()
	require.NoError(t, err)
	var w world
	require.NoError(t, m.Into(&w))

	require.Len(t, w.FDs, 7, "%v", w.FDs)
	assert.Equal(t, "/dev/null", w.FDs["0"])
	assert.Equal(t, "/dev/null", w.FDs["1"])
	for fd, prefix := range map[string]string{"2": "/memfd:", "3": "socket:", "4": "/memfd:", "5": "pipe:", "6": "pipe:"} {
		assert.True(t, strings.HasPrefix(w.FDs[fd], prefix), "%s %s", fd, w.FDs[fd])
	}
	assert.Empty(t, w.Env)
	assert.Equal(t, "/", w.Cwd)
	assert.Equal(t, w.Pid, w.Sid, "a session of its own")
	assert.Equal(t, child.Pid, w.Pid)
	labels := store.Labels(w.Config.StateDir, w.Config.OwnerPid)
	assert.Equal(t, append([]string{"msb", "supervise", "--name=report"}, labels...), w.Args, "labels only")
	assert.Equal(t, "0000000000000000", w.Blocked)
	ignored, err := strconv.ParseUint(w.Ignored, 16, 64)
	require.NoError(t, err)
	// glibc's posix_spawn, which make uses, has its own signals 32 and 33 ignored.
	assert.Zero(t, ignored&^(1<<31|1<<32), "%x", ignored)
	assert.Equal(t, "secret in the configuration", w.Config.ID)
}

func TestDescriptorsOfTheHostAreCloseOnExec(t *testing.T) {
	before := harness.Take()
	child, err := begin(t, "good", limit)
	require.NoError(t, err)
	after := harness.Take()
	assert.Greater(t, len(after.FDs), len(before.FDs))
	for _, entry := range after.FDs {
		var fd uintptr
		_, err := fmt.Sscan(entry, &fd)
		require.NoError(t, err)
		flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0)
		if err == nil && fd > 2 {
			assert.NotZero(t, flags&unix.FD_CLOEXEC, entry)
		}
	}
	child.Watchdog.Close()
	<-child.Process.Done()
	assert.Equal(t, "exited with code 5", child.Process.Status().String(), "its watchdog's end of file came")
}

func TestSignalsReachTheProcessOnly(t *testing.T) {
	child, err := begin(t, "good", limit)
	require.NoError(t, err)
	require.NoError(t, child.Process.Signal(0))
	require.NoError(t, child.Process.Kill())
	<-child.Process.Done()
	assert.Equal(t, "killed by signal 9 (killed)", child.Process.Status().String())
	assert.ErrorIs(t, child.Process.Kill(), os.ErrProcessDone)
	assert.ErrorIs(t, child.Process.Signal(0), os.ErrProcessDone)
}

func TestOpenedProcess(t *testing.T) {
	harness.NoLeaks(t)
	child, err := begin(t, "good", limit)
	require.NoError(t, err)
	other, err := launch.OpenProcess(child.Pid)
	require.NoError(t, err)
	released, err := launch.OpenProcess(child.Pid)
	require.NoError(t, err)
	released.Release()
	<-released.Done()
	assert.ErrorIs(t, released.Kill(), os.ErrProcessDone, "a released one does nothing")
	require.NoError(t, other.Kill())
	<-other.Done()
	<-child.Process.Done()
	assert.True(t, child.Process.Status().Known)
	_, err = launch.OpenProcess(child.Pid)
	assert.ErrorIs(t, err, unix.ESRCH)
}

// A host that reaps every child, in a loop, takes the status away from us.
func TestStatusReapedBySomebodyElse(t *testing.T) {
	if os.Getenv("MSB_TEST_REAP") == "" {
		subtest(t, t.Name(), "MSB_TEST_REAP=1")
		return
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
				time.Sleep(50 * time.Microsecond)
			}
		}
	}()
	endings(t)
}

func TestStatusWithSIGCHLDIgnored(t *testing.T) {
	if os.Getenv("MSB_TEST_REAP") == "" {
		subtest(t, t.Name(), "MSB_TEST_REAP=1")
		return
	}
	ignoreSIGCHLD(t)
	endings(t)
}

// endings checks that each end is seen, with the right status or an honest
// "unknown".
func endings(t *testing.T) {
	t.Helper()
	for range 20 {
		child, err := begin(t, "good", limit)
		require.NoError(t, err)
		require.NoError(t, child.Process.Kill())
		<-child.Process.Done()
		status := child.Process.Status()
		if status.Known {
			assert.Equal(t, "killed by signal 9 (killed)", status.String())
		} else {
			assert.Equal(t, "ended with unknown status", status.String())
		}
		child, err = begin(t, "good then exit", limit)
		require.NoError(t, err)
		<-child.Process.Done()
		if status := child.Process.Status(); status.Known {
			assert.Equal(t, "exited with code 3", status.String())
		}
	}
	_, err := begin(t, "exit", limit)
	assert.ErrorContains(t, err, "before its startup line")
	_, err = launch.Start(context.Background(), "/no/such/msb", control.Config{})
	assert.ErrorIs(t, err, code(fault.NotFound))
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	lib := filepath.Join(dir, "lib")
	libexec := filepath.Join(dir, "libexec/microsandbox")
	require.NoError(t, os.MkdirAll(lib, 0o755))
	require.NoError(t, os.MkdirAll(libexec, 0o755))
	_, err := launch.Find("", "")
	assert.ErrorIs(t, err, code(fault.NotFound))
	_, err = launch.Find("", lib)
	assert.ErrorIs(t, err, code(fault.NotFound))
	assert.ErrorContains(t, err, lib+"/msb")
	require.NoError(t, os.Mkdir(filepath.Join(lib, "msb"), 0o755))
	_, err = launch.Find("", lib)
	assert.ErrorIs(t, err, code(fault.NotFound), "a directory is no msb")

	second := filepath.Join(libexec, "msb")
	require.NoError(t, os.WriteFile(second, nil, 0o755))
	got, err := launch.Find("", lib)
	require.NoError(t, err)
	assert.Equal(t, second, got)
	require.NoError(t, os.Remove(filepath.Join(lib, "msb")))
	first := filepath.Join(lib, "msb")
	require.NoError(t, os.WriteFile(first, nil, 0o755))
	got, err = launch.Find("", lib)
	require.NoError(t, err)
	assert.Equal(t, first, got)

	got, err = launch.Find("relative/msb", lib)
	require.NoError(t, err)
	assert.True(t, filepath.IsAbs(got), "a given path is taken as it is: %s", got)
}
