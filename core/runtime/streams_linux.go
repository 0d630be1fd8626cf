package runtime

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// streams are a program's standard streams: what the engine gets, and the relays
// behind those that it must not touch.
type streams struct {
	guest  [3]*os.File
	relays []*relay
	output *allowance // nil: any amount
	screen *screen    // nil: no terminal
}

// openStreams takes ownership of fds.
func (p *program) openStreams(req *control.StartRequest, fds []int) (*streams, error) {
	if req.Stdio[0] != control.StdioPty {
		return openStreams(req.Stdio, fds, p.log(), newAllowance(req.OutputLimit, p.flood))
	}
	screen, err := p.client.s.openScreen(fds[0])
	if err != nil {
		return nil, err
	}
	s := &streams{screen: screen}
	if s.guest, err = screen.guest(); err != nil {
		screen.close()
		return nil, fault.Wrap(err, fault.IO, fault.StageStdio, "terminal")
	}
	p.mu.Lock()
	p.screen = screen
	p.mu.Unlock()
	return s, nil
}

// openStreams takes ownership of fds. A descriptor that the host program shares
// with others is never donated: the engine may set O_NONBLOCK on it, and that
// flag belongs to the open file description. It is opened anew where that keeps
// its meaning, else copied through a pipe.
func openStreams(kinds [3]control.Stdio, fds []int, log programLog, output *allowance) (*streams, error) {
	s := &streams{output: output}
	next := 0
	for which, kind := range kinds {
		if kind == control.StdioNull {
			continue
		}
		if kind == control.StdioLog {
			if err := s.record(which, log); err != nil {
				control.CloseAll(fds[next:])
				s.close()
				return nil, fault.Wrap(err, fault.IO, fault.StageStdio, fmt.Sprintf("stdio %d", which))
			}
			continue
		}
		fd := fds[next]
		next++
		if kind == control.StdioOwn && (which == 0 || output == nil) {
			s.guest[which] = os.NewFile(uintptr(fd), "stdio "+strconv.Itoa(which))
			continue
		}
		if err := s.share(which, fd); err != nil {
			control.CloseAll(fds[next:])
			s.close()
			return nil, fault.Wrap(err, fault.IO, fault.StageStdio, fmt.Sprintf("stdio %d", which))
		}
	}
	return s, nil
}

// share makes the guest's end for a shared descriptor, which becomes ours.
func (s *streams) share(which, fd int) error {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	flags := 0
	if err == nil {
		flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	}
	if err == nil && !allows(flags, which) {
		err = fault.New(fault.Invalid, fault.StageStdio, "the descriptor is not open for %s", direction(which))
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	counted := which != 0 && s.output != nil // by a relay
	if !counted && canReopen(fd, &st, flags, which) {
		if file, err := reopen(fd, which, flags); err == nil {
			unix.Close(fd)
			s.guest[which] = file
			return nil
		}
	}
	if which == 2 && s.sameTarget(&st) {
		unix.Close(fd)
		return s.duplicate()
	}
	return s.relay(which, fd, &st)
}

func allows(flags, which int) bool {
	switch flags & unix.O_ACCMODE {
	case unix.O_RDWR:
		return true
	case unix.O_RDONLY:
		return which == 0
	}
	return which != 0
}

func direction(which int) string {
	if which == 0 {
		return "reading"
	}
	return "writing"
}

// canReopen says whether a new open file description means the same. A regular
// file's offset is shared with the host program: writes through a second
// description would overwrite one another unless they append, and the engine
// reads from the beginning. A terminal's master would become another terminal.
func canReopen(fd int, st *unix.Stat_t, flags, which int) bool {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFIFO:
		return true
	case unix.S_IFCHR:
		return st.Rdev != unix.Mkdev(5, 2) // /dev/ptmx
	case unix.S_IFREG:
		if which != 0 {
			return flags&unix.O_APPEND != 0
		}
		at, err := unix.Seek(fd, 0, unix.SEEK_CUR)
		return err == nil && at == 0
	}
	return false
}

func reopen(fd, which, flags int) (*os.File, error) {
	mode := unix.O_WRONLY | flags&unix.O_APPEND
	if which == 0 {
		mode = unix.O_RDONLY
	}
	path := "/proc/self/fd/" + strconv.Itoa(fd)
	// O_NONBLOCK: opening a FIFO must not wait for a partner.
	again, err := unix.Open(path, mode|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	if err := unix.SetNonblock(again, false); err != nil { // the guest would see the flag
		unix.Close(again)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(again), path), nil
}

// sameTarget reports whether stdout goes to the same place through a relay, so
// that one relay keeps the order of both.
func (s *streams) sameTarget(st *unix.Stat_t) bool {
	for _, r := range s.relays {
		if r.which == 1 && r.fd >= 0 && r.dev == st.Dev && r.ino == st.Ino {
			return true
		}
	}
	return false
}

func (s *streams) duplicate() error {
	raw, err := s.guest[1].SyscallConn()
	if err != nil {
		return err
	}
	var dup int
	var dupErr error
	if err := raw.Control(func(fd uintptr) { dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return err
	}
	if dupErr != nil {
		return os.NewSyscallError("dup", dupErr)
	}
	s.guest[2] = os.NewFile(uintptr(dup), "stdio 2")
	return nil
}

// close drops everything after a start that failed.
func (s *streams) close() {
	for _, f := range s.guest {
		if f != nil {
			f.Close()
		}
	}
	for _, r := range s.relays {
		r.stop()
	}
	s.screen.close()
}

// flush runs after the program's end: what it wrote reaches its place before its
// end is told. What its descendants write later is still copied, until the
// sandbox ends. Input is not needed any more.
func (s *streams) flush(ending <-chan struct{}) {
	for _, r := range s.relays {
		if r.which == 0 {
			r.stop()
		} else {
			r.flush(ending)
		}
	}
}
