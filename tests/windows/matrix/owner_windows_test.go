package matrix

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core"
)

var serial atomic.Int64

// owner is a host program in a process of its own: see tests/matrix/owner.
type owner struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string
	o     core.Options
}

func newOwner(t testing.TB) *owner {
	t.Helper()
	own := &owner{t: t, cmd: exec.Command(os.Getenv(ownerVariable)), lines: make(chan string, 64)}
	own.o = core.Options{
		Name: fmt.Sprintf("matrix-%d", serial.Add(1)), MsbPath: os.Getenv(msbVariable), Engine: core.EngineJob,
		State: core.State{Dir: t.TempDir()}, StopGrace: grace, StartTimeout: startTimeout,
	}
	var err error
	own.in, err = own.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := own.cmd.StdoutPipe()
	require.NoError(t, err)
	var said bytes.Buffer
	own.cmd.Stderr = &said
	require.NoError(t, own.cmd.Start())
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			own.lines <- scan.Text()
		}
		close(own.lines)
	}()
	t.Cleanup(func() {
		own.kill()
		if t.Failed() {
			t.Logf("the owner's errors: %s", said.String())
		}
	})
	return own
}

// send gives the owner a line; a dead one does not care.
func (o *owner) send(line string) { io.WriteString(o.in, line+"\n") }

func (o *owner) sendJSON(verb string, v any) {
	o.t.Helper()
	data, err := json.Marshal(v)
	require.NoError(o.t, err)
	o.send(verb + " " + string(data))
}

// expect skips lines until one begins with the word, and returns its number.
func (o *owner) expect(word string, within time.Duration) int {
	o.t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	var seen []string
	for {
		select {
		case line, ok := <-o.lines:
			require.True(o.t, ok, "the owner ended before it said %q; it said %q", word, seen)
			seen = append(seen, line)
			var got string
			var number int
			_, err := fmt.Sscan(line, &got, &number)
			require.NoError(o.t, err, line)
			if got == word {
				return number
			}
		case <-timer.C:
			require.FailNow(o.t, "too late", "the owner did not say %q within %v; it said %q", word, within, seen)
		}
	}
}

// kill ends the owner and waits for it. Idempotent.
func (o *owner) kill() {
	o.cmd.Process.Kill()
	for range o.lines {
	}
	o.cmd.Wait()
}

func (o *owner) failpoint() string { return filepath.Join(o.o.State.Dir, "failpoint") }

func (o *owner) arm(step, action string) {
	o.t.Helper()
	path := o.failpoint()
	require.NoError(o.t, os.WriteFile(path+".new", []byte(step+" "+action+"\n"), 0o600))
	require.NoError(o.t, os.Rename(path+".new", path))
}

// reached waits until a process has come to the step, and takes the trace of it away.
func (o *owner) reached() {
	o.t.Helper()
	path := o.failpoint() + ".reached"
	for deadline := time.Now().Add(busy); os.Remove(path) != nil; time.Sleep(10 * time.Millisecond) {
		require.False(o.t, time.Now().After(deadline), "nobody came to the step")
	}
}

// process is one that is held open: its id stays its own.
type process struct {
	pid    int
	handle windows.Handle
}

// tree are the living descendants of the owner, parents first: the supervisor, and what
// its sandbox runs.
func (o *owner) tree() []process {
	o.t.Helper()
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	require.NoError(o.t, err)
	defer windows.CloseHandle(snapshot)
	children := map[int][]int{}
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		children[int(entry.ParentProcessID)] = append(children[int(entry.ParentProcessID)], int(entry.ProcessID))
	}
	var found []process
	for next := children[o.cmd.Process.Pid]; len(next) > 0; next = next[1:] {
		const rights = windows.SYNCHRONIZE | windows.PROCESS_TERMINATE | windows.PROCESS_SUSPEND_RESUME
		h, err := windows.OpenProcess(rights, false, uint32(next[0]))
		if err != nil {
			continue // it has ended
		}
		o.t.Cleanup(func() { windows.CloseHandle(h) })
		found = append(found, process{next[0], h})
		next = append(next, children[next[0]]...)
	}
	return found
}

func (p process) ended(within time.Duration) bool {
	event, err := windows.WaitForSingleObject(p.handle, uint32(within.Milliseconds()))
	return err == nil && event == windows.WAIT_OBJECT_0
}

var (
	ntdll   = windows.NewLazySystemDLL("ntdll.dll")
	suspend = ntdll.NewProc("NtSuspendProcess")
	resume  = ntdll.NewProc("NtResumeProcess")
)

// gone requires that all processes end by themselves within a time.
func gone(t testing.TB, tree []process, within time.Duration) {
	t.Helper()
	deadline := time.Now().Add(within)
	for i, p := range tree {
		assert.True(t, p.ended(max(time.Until(deadline), 0)), "process %d, number %d of the tree, is left", p.pid, i)
	}
}

// swept requires that nothing is left after a sweep: no process, and in the state
// directory nothing but the registry of metrics and a record of what is stored.
func (o *owner) swept(tree []process) {
	o.t.Helper()
	found, err := core.Audit(o.o.State)
	require.NoError(o.t, err)
	for _, f := range found {
		assert.Equal(o.t, "stored", f.Kind, f.Detail)
	}
	gone(o.t, tree, 0)
	left, err := os.ReadDir(filepath.Join(o.o.State.Dir, "sandboxes"))
	if !os.IsNotExist(err) {
		require.NoError(o.t, err)
	}
	assert.Empty(o.t, left)
}

func (p process) kill() error { return windows.TerminateProcess(p.handle, 1) }

// status turns what ntdll's functions return into an error.
func status(result uintptr, _ uintptr, _ error) error {
	if result != 0 {
		return windows.NTStatus(result)
	}
	return nil
}

func (o *owner) with(call *windows.LazyProc) error {
	h, err := windows.OpenProcess(windows.PROCESS_SUSPEND_RESUME, false, uint32(o.cmd.Process.Pid))
	if err != nil {
		return err
	}
	defer windows.CloseHandle(h)
	return status(call.Call(uintptr(h)))
}

func (o *owner) suspend() error { return o.with(suspend) }
func (o *owner) resume() error  { return o.with(resume) }
