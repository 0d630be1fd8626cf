package pid1

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// openStreams makes what the program gets as 0, 1 and 2: descriptors to be closed
// here once it has them.
func (p *program) openStreams(m *wire.Start) ([]int, error) {
	if m.Terminal != nil {
		return p.openTerminal(m)
	}
	var fds []int
	for which, kind := range m.Stdio {
		if kind == wire.StdioNull {
			fd, err := dup(p.a.null)
			if err != nil {
				return fds, err
			}
			fds = append(fds, fd)
			continue
		}
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			return fds, err
		}
		ours, theirs := pipe[0], pipe[1]
		if which == 0 {
			ours, theirs = theirs, ours
		}
		fds = append(fds, theirs)
		unix.SetNonblock(ours, true)
		if which == 0 {
			p.newInput(ours)
		} else {
			p.newOutput(uint8(which), ours)
		}
	}
	return fds, nil
}

func (p *program) newInput(fd int) {
	p.input = &input{a: p.a, p: p, fd: fd, window: wire.InputWindow}
	p.open++
}

func (p *program) newOutput(stream uint8, fd int) {
	p.outputs[stream-1] = &output{a: p.a, p: p, stream: stream, fd: fd, credit: wire.Window}
	p.open++
}

func dup(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }

// openTerminal makes a terminal, which belongs to the program's user.
func (p *program) openTerminal(m *wire.Start) ([]int, error) {
	master, err := unix.Open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	again, err := dup(master)
	if err != nil {
		unix.Close(master)
		return nil, err
	}
	p.terminal = master
	p.newOutput(1, master)
	p.newInput(again)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return nil, err
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return nil, err
	}
	path := "/dev/pts/" + strconv.Itoa(n)
	slave, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	fds := []int{slave}
	unix.Fchown(slave, int(m.UID), -1)
	if err := setSize(master, *m.Terminal); err != nil {
		return fds, err
	}
	for range 2 {
		fd, err := dup(slave)
		if err != nil {
			return fds, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}
