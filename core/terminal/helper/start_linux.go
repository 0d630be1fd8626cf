package helper

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Helper is a running helper, a child of this process.
type Helper struct {
	Pid    int
	pidfd  int
	events *os.File
	gone   chan struct{} // closed when it has been reaped
	once   sync.Once
}

// readyLimit bounds a start, which takes some milliseconds.
const readyLimit = 10 * time.Second

// Start starts a helper for a terminal that is nobody's controlling terminal. slave
// stays the caller's. label goes onto its command line. It dies with this process.
func Start(slave int, label string) (*Helper, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(fds[1])
	pid, pidfd, err := spawn([]string{Name, label}, slave, fds[1])
	if err == nil {
		err = unix.SetNonblock(fds[0], true)
	}
	if err != nil {
		unix.Close(fds[0])
		return nil, os.NewSyscallError("start the helper of the terminal", err)
	}
	h := &Helper{Pid: pid, pidfd: pidfd, events: os.NewFile(uintptr(fds[0]), Name), gone: make(chan struct{})}
	go h.reap()
	h.events.SetReadDeadline(time.Now().Add(readyLimit))
	if _, err := h.Next(); err != nil {
		h.Close()
		return nil, fmt.Errorf("the helper of the terminal: %w", err)
	}
	h.events.SetReadDeadline(time.Time{})
	return h, nil
}

func spawn(argv []string, slave, events int) (pid, pidfd int, err error) {
	null, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, -1, err
	}
	defer unix.Close(null)
	pidfd = -1
	pid, err = syscall.ForkExec("/proc/self/exe", argv, &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: []uintptr{uintptr(slave), uintptr(events), uintptr(null)},
		Sys: &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: slaveFD, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
	})
	if err == nil && pidfd < 0 {
		pidfd, err = unix.PidfdOpen(pid, 0)
	}
	return pid, pidfd, err
}

func (h *Helper) reap() {
	defer close(h.gone)
	for {
		if err := unix.Waitid(unix.P_PID, h.Pid, nil, unix.WEXITED, nil); err != unix.EINTR {
			return
		}
	}
}

// Next returns the next signal of the terminal, and an error when the helper has ended.
func (h *Helper) Next() (unix.Signal, error) {
	var buf [1]byte
	if _, err := h.events.Read(buf[:]); err != nil {
		return 0, err
	}
	return unix.Signal(buf[0]), nil
}

// Close ends the helper and returns once it is gone. It has nothing to put in order:
// what it tells is not wanted any more. Idempotent.
func (h *Helper) Close() {
	h.once.Do(func() {
		unix.PidfdSendSignal(h.pidfd, unix.SIGKILL, nil, 0) // stopped ones too
		<-h.gone
		unix.Close(h.pidfd)
		h.events.Close()
	})
}
