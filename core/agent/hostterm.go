package agent

import (
	"context"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// StartOnTerminal starts a program with a terminal of the guest that shows on one of
// the host: p.Stdio are three times the slave of a pseudo-terminal. That becomes raw,
// since echo, line editing and signal keys are the guest's. The program hangs up when
// the last master is closed. A new size is passed on with SignalForeground(SIGWINCH).
func (c *Client) StartOnTerminal(ctx context.Context, p engine.Program) (*Process, error) {
	slave := p.Stdio[0]
	if slave == nil {
		closeFiles(p.Stdio)
		return nil, fault.New(fault.Invalid, fault.StageStdio, "start a program on a terminal: there is none")
	}
	keep, size, err := takeTerminal(slave)
	if err != nil {
		closeFiles(p.Stdio)
		return nil, fault.Wrap(err, fault.IO, fault.StageStdio, "terminal of a program")
	}
	if p.Stdio[2] != nil {
		p.Stdio[2].Close()
		p.Stdio[2] = nil
	}
	process, err := c.start(ctx, p, &size, true)
	if err != nil {
		keep.Close()
		return nil, err
	}
	process.mu.Lock()
	process.screen = keep
	over := process.over
	process.mu.Unlock()
	if over {
		process.closeScreen()
	}
	return process, nil
}

// takeTerminal makes a terminal raw, and returns a descriptor by which its size can be
// asked for, and the size.
func takeTerminal(slave *os.File) (keep *os.File, size wire.Size, err error) {
	raw, err := slave.SyscallConn()
	if err != nil {
		return nil, size, err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		var dup int
		if dup, inner = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3); inner != nil {
			return
		}
		keep = os.NewFile(uintptr(dup), slave.Name())
		if size, inner = terminalSize(int(fd)); inner == nil {
			inner = makeRaw(int(fd))
		}
	})
	if err == nil {
		err = inner
	}
	if err != nil && keep != nil {
		keep.Close()
	}
	return keep, size, err
}

func terminalSize(fd int) (wire.Size, error) {
	ws, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return wire.Size{}, os.NewSyscallError("ioctl", err)
	}
	return wire.Size{Rows: ws.Row, Cols: ws.Col}, nil
}

// makeRaw is cfmakeraw(3).
func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return os.NewSyscallError("ioctl", err)
	}
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag &^= unix.CSIZE | unix.PARENB
	t.Cflag |= unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return os.NewSyscallError("ioctl", unix.IoctlSetTermios(fd, unix.TCSETS, t))
}

// SignalForeground sends sig to the foreground process group of its terminal. For one
// that shows on the host, SIGWINCH means that this has another size now: the guest's
// kernel tells its foreground.
func (p *Process) SignalForeground(sig syscall.Signal) error {
	if size, ok := p.screenSize(); ok && sig == unix.SIGWINCH {
		return p.Resize(size)
	}
	return p.signal(sig, wire.ToForeground)
}

func (p *Process) screenSize() (size wire.Size, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.screen == nil {
		return size, false
	}
	raw, err := p.screen.SyscallConn()
	if err != nil {
		return size, false
	}
	var inner error
	err = raw.Control(func(fd uintptr) { size, inner = terminalSize(int(fd)) })
	return size, err == nil && inner == nil
}

// closeScreen gives the host's terminal back once the program has ended.
func (p *Process) closeScreen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.screen != nil {
		p.screen.Close()
		p.screen = nil
	}
}
