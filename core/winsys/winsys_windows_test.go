package winsys

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
)

func spawn(t *testing.T, jobs []*Job, args ...string) (windows.Handle, int) {
	t.Helper()
	dir, err := windows.GetSystemDirectory()
	require.NoError(t, err)
	null, err := OpenNull()
	require.NoError(t, err)
	defer null.Close()
	h := windows.Handle(null.Fd())
	var in, open windows.Handle // input that does not end before the test
	require.NoError(t, windows.CreatePipe(&in, &open, nil, 0))
	defer windows.CloseHandle(in)
	t.Cleanup(func() { windows.CloseHandle(open) })
	process, pid, err := Spawn(Command{
		Path: filepath.Join(dir, "cmd.exe"), Args: append([]string{"cmd.exe"}, args...), Env: SystemEnv(),
		Stdio: [3]windows.Handle{in, h, h}, Jobs: jobs, Flags: windows.CREATE_NO_WINDOW,
	})
	require.NoError(t, err)
	t.Cleanup(func() { windows.CloseHandle(process) })
	return process, pid
}

func ended(t *testing.T, process windows.Handle) uint32 {
	t.Helper()
	event, err := windows.WaitForSingleObject(process, 20000)
	require.NoError(t, err)
	require.Equal(t, uint32(windows.WAIT_OBJECT_0), event)
	var code uint32
	require.NoError(t, windows.GetExitCodeProcess(process, &code))
	return code
}

func TestAProcessIsInItsJobsFromTheStart(t *testing.T) {
	outer, err := NewJob("", Limits{KillOnClose: true})
	require.NoError(t, err)
	inner, err := NewJob("", Limits{KillOnClose: true})
	require.NoError(t, err)
	process, pid := spawn(t, []*Job{outer, inner}, "/c", "set /p x=")
	for _, j := range []*Job{outer, inner} {
		in, err := j.Has(process)
		require.NoError(t, err)
		assert.True(t, in)
	}
	pids, err := inner.Pids()
	require.NoError(t, err)
	assert.Contains(t, pids, pid)
	require.NoError(t, outer.Terminate(1))
	ended(t, process)
	assert.True(t, inner.AwaitEmpty(10*time.Second))
}

func TestExitCode(t *testing.T) {
	process, pid := spawn(t, nil, "/c", "exit 70000")
	start, err := StartTime(pid)
	if err == nil { // it may have ended
		assert.NotZero(t, start)
	}
	assert.EqualValues(t, 70000, ended(t, process))
	_, err = StartTime(pid)
	assert.ErrorIs(t, err, os.ErrProcessDone, "although its id is held")
}

// The last handle's closing ends a job's processes, unless that has been cleared by
// whoever knows the job's name.
func TestKillOnClose(t *testing.T) {
	for _, cleared := range []bool{false, true} {
		name, err := JobName()
		require.NoError(t, err)
		job, err := NewJob(name, Limits{KillOnClose: true})
		require.NoError(t, err)
		process, _ := spawn(t, []*Job{job}, "/c", "set /p x=")
		again, err := OpenJob(name)
		require.NoError(t, err)
		if cleared {
			require.NoError(t, again.SetLimits(Limits{}))
		}
		again.Close()
		job.Close()
		if cleared {
			event, err := windows.WaitForSingleObject(process, 300)
			require.NoError(t, err)
			assert.Equal(t, uint32(windows.WAIT_TIMEOUT), event, "it lives on")
			require.NoError(t, windows.TerminateProcess(process, 1))
		}
		ended(t, process)
	}
	_, err := OpenJob(`Local\msb-of-nobody`)
	assert.Error(t, err)
}

func TestStream(t *testing.T) {
	ours, theirs, err := Stream(true, false)
	require.NoError(t, err)
	defer ours.Close()
	require.NoError(t, ours.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	_, err = ours.Read(make([]byte, 1))
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded, "it holds no thread")
	require.NoError(t, ours.SetReadDeadline(time.Time{}))
	var n uint32
	require.NoError(t, windows.WriteFile(theirs, []byte("text"), &n, nil))
	windows.CloseHandle(theirs)
	data, err := io.ReadAll(ours)
	require.NoError(t, err)
	assert.Equal(t, "text", string(data))
}

func TestFilesThatOthersHaveOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	require.NoError(t, MakePrivateDir(dir))
	require.NoError(t, MakePrivateDir(dir), "again is fine")
	path := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	reader, err := Open(path, windows.GENERIC_READ, Share, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, nil)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".new", []byte("new"), 0o600))
	time.AfterFunc(50*time.Millisecond, func() { reader.Close() })
	require.NoError(t, Replace(path+".new", path), "it waits for a reader that is about to go")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, "new", string(text))
	require.NoError(t, Empty(filepath.Dir(dir), ""))
	left, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	assert.Empty(t, left)
	require.NoError(t, Remove(filepath.Join(dir, "none")))
}

func TestTheUsersOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mine")
	require.NoError(t, MakePrivateDir(path))
	dir, err := OpenDir(path)
	require.NoError(t, err)
	defer dir.Close()
	own, owner, err := OwnedByUser(dir)
	require.NoError(t, err)
	assert.True(t, own, owner)
	token, err := RestrictedToken()
	require.NoError(t, err)
	require.NoError(t, token.Close())
}
