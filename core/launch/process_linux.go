package launch

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// msbName is the file name of the executable.
const msbName = "msb"

// Process is another process, named by a pidfd: nothing here can reach a later
// process with the same id. Safe for concurrent use.
type Process struct {
	pid  int
	kind kind
	file *os.File
	done chan struct{}

	mu     sync.Mutex
	closed bool // by the watcher, after done
	status Status
}

// kind is what is done about the end of a process besides telling of it.
type kind int

const (
	ourChild  kind = iota // it is reaped
	stranger              // its status is asked for
	unrelated             // nothing
)

// Status is how a process ended.
type Status struct {
	Known bool // false when somebody else reaped it and the kernel is older than 6.15
	Wait  syscall.WaitStatus
}

// Killed reports whether it was SIGKILL that ended it.
func (s Status) Killed() bool { return s.Known && s.Wait.Signaled() && s.Wait.Signal() == unix.SIGKILL }

func (s Status) String() string {
	switch {
	case !s.Known:
		return "ended with unknown status"
	case s.Wait.Signaled():
		return fmt.Sprintf("killed by signal %d (%v)", s.Wait.Signal(), s.Wait.Signal())
	}
	return fmt.Sprintf("exited with code %d", s.Wait.ExitStatus())
}

// newProcess takes ownership of the pidfd and watches it until the process ends.
func newProcess(pid, pidfd int, k kind) *Process {
	unix.SetNonblock(pidfd, true) // lets the runtime's poller wait for it, without a thread
	p := &Process{pid: pid, kind: k, file: os.NewFile(uintptr(pidfd), "pidfd"), done: make(chan struct{})}
	fault.Go("watch supervisor", p.watch)
	return p
}

// OpenProcess names the living process pid; the caller checks afterwards that it
// is still the one that it means. It may be a child of ours that somebody else here
// started: then it is left to him to reap, since only one gets the status.
func OpenProcess(pid int) (*Process, error) { return openProcess(pid, stranger) }

// WatchProcess is OpenProcess for who needs no Status: that of a process which nobody
// reaps would be waited for.
func WatchProcess(pid int) (*Process, error) { return openProcess(pid, unrelated) }

func openProcess(pid int, k kind) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	return newProcess(pid, fd, k), nil
}

// Done is closed when the process has ended and, as our child, been reaped.
func (p *Process) Done() <-chan struct{} { return p.done }

// Status is how it ended; valid once Done is closed.
func (p *Process) Status() Status { return p.status }

// Kill sends SIGKILL.
func (p *Process) Kill() error { return p.Signal(unix.SIGKILL) }

// Signal sends a signal; os.ErrProcessDone when the process has ended.
func (p *Process) Signal(sig unix.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return os.ErrProcessDone
	}
	raw, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	if err := raw.Control(func(fd uintptr) { sendErr = unix.PidfdSendSignal(int(fd), sig, nil, 0) }); err != nil {
		return err
	}
	if sendErr == unix.ESRCH {
		return os.ErrProcessDone
	}
	return os.NewSyscallError("pidfd_send_signal", sendErr)
}

// Release stops watching: Done is closed although the process may live on.
func (p *Process) Release() { p.file.Close() }

func (p *Process) watch() {
	defer close(p.done)
	raw, err := p.file.SyscallConn()
	if err == nil {
		err = raw.Read(func(fd uintptr) bool {
			if !ended(int(fd)) {
				return false
			}
			p.status = p.collect(int(fd))
			return true
		})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.file.Close()
}

// ended reports whether the pidfd's process has ended. It asks the pidfd, since
// waitid knows nothing of a process that is not our child.
func ended(pidfd int) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// collect returns the status of an ended process, and reaps what is ours. A host that
// reaps every child, or ignores SIGCHLD, may have been faster: then the kernel is
// asked directly.
func (p *Process) collect(pidfd int) Status {
	options := unix.WEXITED | unix.WNOHANG
	switch p.kind {
	case stranger:
		options |= unix.WNOWAIT
	case unrelated:
		return Status{}
	}
	var info siginfo
	for {
		err := unix.Waitid(unix.P_PIDFD, pidfd, (*unix.Siginfo)(unsafe.Pointer(&info)), options, nil)
		if err == unix.EINTR {
			continue
		}
		if err == nil && info.pid != 0 {
			return Status{Known: true, Wait: info.waitStatus()}
		}
		return strangersStatus(pidfd)
	}
}

// reapWait is how long a process's parent may take to reap it: before that the
// kernel does not tell others.
const reapWait = time.Second

// strangersStatus is the status of a process that somebody else reaps.
func strangersStatus(pidfd int) Status {
	for deadline := time.Now().Add(reapWait); ; time.Sleep(time.Millisecond) {
		status, again := exitInfo(pidfd)
		if !again || time.Now().After(deadline) {
			return status
		}
	}
}

// siginfo is the part of siginfo_t that SIGCHLD fills in, in 128 bytes as in
// <asm-generic/siginfo.h> on 64-bit machines.
type siginfo struct {
	signo, errno, code int32
	_                  int32
	pid                int32
	uid                uint32
	status             int32
	_                  [100]byte
}

// waitStatus turns si_code and si_status into wait(2)'s encoding.
func (s *siginfo) waitStatus() syscall.WaitStatus {
	const (
		cldExited = 1
		cldDumped = 3
	)
	switch s.code {
	case cldExited:
		return syscall.WaitStatus(s.status&0xff) << 8
	case cldDumped:
		return syscall.WaitStatus(s.status&0x7f | 0x80)
	}
	return syscall.WaitStatus(s.status & 0x7f)
}

// exitInfo asks for the exit code of a process that somebody else reaped:
// PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15, <linux/pidfd.h>. again is true
// while the process is a zombie; older kernels do not tell at all.
func exitInfo(pidfd int) (status Status, again bool) {
	const (
		pidfdGetInfo  = 0xc040ff0b // _IOWR(0xFF, 11, struct pidfd_info), 64 bytes
		pidfdInfoExit = 1 << 3
	)
	var info struct {
		mask     uint64
		_        uint64     // cgroupid
		_        [11]uint32 // pid, tgid, ppid and credentials
		exitCode int32
	}
	info.mask = pidfdInfoExit
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(pidfd), pidfdGetInfo, uintptr(unsafe.Pointer(&info)))
	if errno != 0 || info.mask&pidfdInfoExit == 0 {
		return Status{}, errno == 0
	}
	return Status{Known: true, Wait: syscall.WaitStatus(info.exitCode)}, false
}
