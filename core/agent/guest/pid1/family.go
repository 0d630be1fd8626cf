package pid1

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

var le = binary.LittleEndian

// killer knows which program a process belongs to, whatever became of its parents,
// sessions and ids.
type killer interface {
	how() uint8 // wire.Kill*
	// direct tells whether programs are our own children, and their ends ours to see.
	direct() bool
	newFamily(id uint32) (family, error)
	// owner is the program of a process that has ended, but has not been reaped; 0
	// when it is of none.
	owner(pid int) uint32
	// strayed tells that a child of ours which is no program has been reaped.
	strayed(pid int)
	signalAll(sig unix.Signal) error
	// limit bounds the processes of all programs together.
	limit(processes uint32) error
}

// family is a program's process with all that it starts.
type family interface {
	// fork executes the launcher, and returns the number of our child.
	fork(launcher int, fds []int, who syscall.Credential, terminal bool) (int, error)
	// pid is the program's own process id.
	pid(child int) int
	signal(child int, sig unix.Signal) error
	killAll() error
	// cpuTime is that of all of it, in nanoseconds; own is that of the program's process.
	cpuTime(own uint64) uint64
	// refused tells whether the limit of processes has refused it one.
	refused() bool
	// ended frees what can be freed once the program's own process has ended.
	ended()
}

// signal serves KindSignal.
func (a *Agent) signal(id uint32, payload []byte) error {
	m, err := wire.DecodeSignal(payload)
	if err != nil {
		return err
	}
	p := a.programs[m.Program]
	if p == nil || p.ended || p.status >= 0 {
		a.refuse(id, unix.ESRCH, 0, "")
		return nil
	}
	a.answer(id, p.signal(unix.Signal(m.Signo), m.Scope), "")
	return nil
}

func (p *program) signal(sig unix.Signal, scope uint8) error {
	if scope == wire.ToForeground {
		fd := p.terminalFD()
		if fd < 0 {
			return unix.ENOTTY
		}
		group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		if err != nil || group <= 1 {
			return unix.ESRCH
		}
		return unix.Kill(-group, sig)
	}
	if sig == unix.SIGKILL {
		return p.family.killAll()
	}
	return p.family.signal(p.pid, sig)
}

// signalAll serves KindSignalAll.
func (a *Agent) signalAll(id uint32, payload []byte) error {
	m, err := wire.DecodeSignal(payload)
	if err != nil {
		return err
	}
	err = a.kill.signalAll(unix.Signal(m.Signo))
	if err == unix.ESRCH { // nobody was there
		err = nil
	}
	a.answer(id, err, "")
	return nil
}

// resize serves KindResize.
func (a *Agent) resize(id uint32, payload []byte) error {
	m, err := wire.DecodeResize(payload)
	if err != nil {
		return err
	}
	p := a.programs[m.Program]
	switch {
	case p == nil || p.ended:
		err = unix.ESRCH
	case p.terminalFD() < 0:
		err = unix.ENOTTY
	default:
		err = setSize(p.terminalFD(), m.Size)
	}
	a.answer(id, err, "")
	return nil
}

func setSize(fd int, size wire.Size) error {
	return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
}
