package launch

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// msbName is the file name of the executable.
const msbName = "msb.exe"

// killedCode is the exit code of a process that was ended from outside.
const killedCode = 1

// Process is another process, held open: its id belongs to nobody else for that
// long. Safe for concurrent use.
type Process struct {
	pid    int
	handle windows.Handle
	job    *winsys.Job    // all that it and its descendants are in; nil: not ours to end
	stop   windows.Handle // an event: nobody watches any more
	done   chan struct{}

	mu     sync.Mutex
	closed bool // by the watcher, after done
	status Status
}

// Status is how a process ended.
type Status struct {
	Known bool
	Code  uint32
}

// Killed reports whether it was ended from outside. Windows does not tell; nothing
// else ends a supervisor that runs with this code.
func (s Status) Killed() bool { return s.Known && s.Code == killedCode }

func (s Status) String() string {
	switch {
	case !s.Known:
		return "ended with unknown status"
	case s.Code > 0xff:
		return fmt.Sprintf("exited with code %#x", s.Code)
	}
	return fmt.Sprintf("exited with code %d", s.Code)
}

// newProcess takes ownership of the handle and the job, and watches the process until
// it ends. One thread waits.
func newProcess(pid int, handle windows.Handle, job *winsys.Job) (*Process, error) {
	stop, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		windows.CloseHandle(handle)
		return nil, os.NewSyscallError("CreateEvent", err)
	}
	p := &Process{pid: pid, handle: handle, job: job, stop: stop, done: make(chan struct{})}
	fault.Go("watch supervisor", p.watch)
	return p, nil
}

// OpenProcess names the living process pid; the caller checks afterwards that it
// is still the one that it means.
func OpenProcess(pid int) (*Process, error) {
	const rights = windows.SYNCHRONIZE | windows.PROCESS_QUERY_LIMITED_INFORMATION | windows.PROCESS_TERMINATE
	h, err := windows.OpenProcess(rights, false, uint32(pid))
	if err != nil {
		return nil, os.NewSyscallError("OpenProcess", err)
	}
	return newProcess(pid, h, nil)
}

// WatchProcess is OpenProcess for who needs no Status.
func WatchProcess(pid int) (*Process, error) { return OpenProcess(pid) }

// Done is closed when the process has ended and all that is in its job with it.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status is how it ended; valid once Done is closed.
func (p *Process) Status() Status { return p.status }

// Kill ends the whole job with exit code 1, or the process where there is none.
func (p *Process) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || winsys.Ended(p.handle) {
		return os.ErrProcessDone
	}
	if p.job != nil {
		return p.job.Terminate(killedCode)
	}
	return os.NewSyscallError("TerminateProcess", windows.TerminateProcess(p.handle, killedCode))
}

// Signal knows SIGKILL alone; os.ErrProcessDone when the process has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	if sig == syscall.SIGKILL {
		return p.Kill()
	}
	return os.NewSyscallError("signal", syscall.EWINDOWS)
}

// Release stops watching: Done is closed although the process may live on.
func (p *Process) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		windows.SetEvent(p.stop)
	}
}

// treeLimit bounds the wait for the rest of a job whose supervisor has ended: the
// kernel ends it with the handle that the supervisor had.
const treeLimit = 5 * time.Second

func (p *Process) watch() {
	defer close(p.done)
	which, err := windows.WaitForMultipleObjects([]windows.Handle{p.handle, p.stop}, false, windows.INFINITE)
	if err == nil && which == windows.WAIT_OBJECT_0 {
		var code uint32
		if windows.GetExitCodeProcess(p.handle, &code) == nil {
			p.status = Status{Known: true, Code: code}
		}
		if p.job != nil && !p.job.AwaitEmpty(treeLimit) {
			p.job.Terminate(killedCode)
			p.job.AwaitEmpty(treeLimit)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	windows.CloseHandle(p.handle)
	windows.CloseHandle(p.stop)
	if p.job != nil {
		p.job.Close()
	}
}
