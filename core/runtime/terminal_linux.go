package runtime

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/core/terminal"
	"github.com/libmicrosandbox/microsandbox/core/terminal/helper"
)

// windowPause is how long after a change of size the next one is told. A guest can
// change the size of its own terminal as often as it likes: its programs shall not
// keep the supervisor busy.
const windowPause = 5 * time.Millisecond

// screen is the host's side of a program's terminal. The supervisor never holds the
// master: it is the caller's alone, and its last close is the hang-up.
type screen struct {
	machine engine.Terminals
	helper  *helper.Helper

	mu    sync.Mutex
	slave *os.File // nil once the program has ended
}

// openScreen takes a slave and gives the terminal its helper.
func (s *supervisor) openScreen(fd int) (*screen, error) {
	slave := os.NewFile(uintptr(fd), "terminal")
	machine, ok := s.machine.(engine.Terminals)
	if !ok {
		slave.Close()
		return nil, fault.New(fault.Unsupported, fault.StageStdio, "stdio: the engine %s gives programs no terminal", s.engine.Name())
	}
	if !terminal.IsSlave(fd) {
		slave.Close()
		return nil, fault.New(fault.Invalid, fault.StageStdio, "stdio: the descriptor is not the slave of a pseudo-terminal")
	}
	h, err := helper.Start(fd, store.Labels(s.cfg.StateDir, s.cfg.OwnerPid)[0])
	if err != nil {
		slave.Close()
		return nil, screenError(err)
	}
	s.noteChildren()
	failpoint.Point("start.terminal")
	return &screen{machine: machine, helper: h, slave: slave}, nil
}

// screenError says why a terminal could not be made a helper's own.
func screenError(err error) error {
	switch {
	case errors.Is(err, unix.EIO):
		return fault.New(fault.State, fault.StageStdio, "stdio: the terminal was hung up before the program started")
	case errors.Is(err, unix.EPERM):
		return fault.New(fault.Invalid, fault.StageStdio, "stdio: the terminal is another session's controlling terminal")
	}
	return fault.Wrap(err, fault.IO, fault.StageStdio, "stdio: terminal")
}

// guest returns the program's three streams: the same open file description.
func (t *screen) guest() (files [3]*os.File, err error) {
	for i := range files {
		fd, err := unix.FcntlInt(t.slave.Fd(), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			for _, f := range files[:i] {
				f.Close()
			}
			return [3]*os.File{}, os.NewSyscallError("dup", err)
		}
		files[i] = os.NewFile(uintptr(fd), "terminal")
	}
	return files, nil
}

// forward signals the guest for the terminal until the program has ended. As on
// Linux, a hang-up reaches the program's own process, and what is in the foreground
// when that ends. A helper that died is a hang-up too.
func (t *screen) forward(process engine.Process) {
	for {
		sig, err := t.helper.Next()
		switch {
		case err != nil || sig == unix.SIGHUP:
			process.Signal(syscall.SIGHUP) // it may have ended: then there is nobody
			process.Signal(syscall.SIGCONT)
			if err != nil {
				return
			}
		case sig == unix.SIGWINCH:
			t.machine.SignalForeground(process, syscall.SIGWINCH)
			time.Sleep(windowPause)
		case sig == unix.SIGINT || sig == unix.SIGQUIT || sig == unix.SIGTSTP:
			t.machine.SignalForeground(process, sig)
		}
	}
}

func (t *screen) resize(size terminal.Size) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slave == nil {
		return fault.New(fault.Done, fault.StageControl, "resize: the program has ended already")
	}
	err := size.Set(int(t.slave.Fd()))
	if errors.Is(err, unix.EIO) {
		return fault.New(fault.State, fault.StageControl, "resize: the terminal was hung up")
	}
	return err
}

// close gives up the host's side: what still runs in the guest keeps its own.
func (t *screen) close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	slave := t.slave
	t.slave = nil
	t.mu.Unlock()
	if slave != nil {
		slave.Close()
	}
	t.helper.Close()
}

// resize serves a resize request.
func (c *client) resize(req control.ResizeRequest) error {
	size := terminal.Size{Rows: req.Rows, Cols: req.Cols}
	if err := size.Check(); err != nil {
		return err
	}
	c.mu.Lock()
	p := c.programs[req.Program]
	c.mu.Unlock()
	if p == nil {
		return fault.New(fault.Done, fault.StageControl, "resize: the program has ended already")
	}
	p.mu.Lock()
	t, started := p.screen, p.process != nil
	p.mu.Unlock()
	switch {
	case t != nil:
		return t.resize(size)
	case started:
		return fault.New(fault.State, fault.StageControl, "resize: the program has no terminal")
	}
	return fault.New(fault.State, fault.StageControl, "resize: the program is still starting")
}

// noteChildren writes down whom to wait for should we die without a word.
func (s *supervisor) noteChildren() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.claim != nil {
		s.claim.Update(func(r *store.Record) { r.Children = store.Children(os.Getpid()) })
	}
}
