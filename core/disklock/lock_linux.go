package disklock

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// stage is where errors of disk images arise: they are file systems of the guest.
const stage = fault.StageRoot

// Held is a lock on an image.
type Held struct {
	file *os.File
	path string
	mode Mode
	id   identity
}

// identity tells files apart, whatever their paths.
type identity struct{ dev, ino uint64 }

// Lock locks the image at path without waiting. Exclusive opens it for reading
// and writing, Shared for reading.
func Lock(path string, mode Mode, names Names) (*Held, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return LockFile(file, path, mode, names)
}

// Open opens the image at path with O_PATH, without locking it, and checks what
// it is. Links in the path are followed now and never again.
func Open(path string) (*os.File, error) {
	if problem := pathProblem(path); problem != "" {
		return nil, fault.New(fault.Invalid, fault.StageArgument, "disk image %q: %s", path, problem)
	}
	// Links of /proc lead to something else in each process.
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	for {
		fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if err != nil {
			return nil, cannotOpen(err, path, Shared)
		}
		file := os.NewFile(uintptr(fd), path)
		if _, err := identify(file, path); err != nil {
			file.Close()
			return nil, err
		}
		return file, nil
	}
}

func pathProblem(path string) string {
	switch {
	case path == "":
		return "the path is missing"
	case strings.IndexByte(path, 0) >= 0:
		return "it has a NUL byte"
	case path[0] != '/':
		return "the path must be absolute"
	}
	return ""
}

// LockFile locks an image that is open in whatever way, as an open file of its
// own: copies of file do not share the lock. path names it in messages.
func LockFile(file *os.File, path string, mode Mode, names Names) (*Held, error) {
	if _, err := identify(file, path); err != nil {
		return nil, err
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd()), accessMode(mode)|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, cannotOpen(err, path, mode)
	}
	return Adopt(os.NewFile(uintptr(fd), path), path, mode, names)
}

// Adopt takes over a descriptor whose open file description is locked, or locks
// it. It takes ownership of the file, on error too.
func Adopt(file *os.File, path string, mode Mode, names Names) (*Held, error) {
	h, err := adopt(file, path, mode, names)
	if err != nil {
		file.Close()
		return nil, err
	}
	return h, nil
}

func adopt(file *os.File, path string, mode Mode, names Names) (*Held, error) {
	id, err := identify(file, path)
	if err != nil {
		return nil, err
	}
	flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return nil, cannotOpen(err, path, mode)
	}
	// A lock of the other mode would be given up, not kept.
	if flags&(unix.O_PATH|unix.O_ACCMODE) != accessMode(mode) {
		return nil, fault.New(fault.Invalid, stage, "disk image %q: the descriptor is not open as it must be for a lock that is %s", path, mode)
	}
	unix.CloseOnExec(int(file.Fd()))
	h := &Held{file: file, path: path, mode: mode, id: id}
	return h, h.lock(names)
}

func accessMode(mode Mode) int {
	if mode == Exclusive {
		return unix.O_RDWR
	}
	return unix.O_RDONLY
}

// lock takes the lock. Where the open file description has it already, that
// changes nothing.
func (h *Held) lock(names Names) error {
	how := unix.LOCK_SH
	if h.mode == Exclusive {
		how = unix.LOCK_EX
	}
	var holders []Holder
	// A holder that ended meanwhile is nobody's reason to fail.
	for range 3 {
		err := unix.Flock(int(h.file.Fd()), how|unix.LOCK_NB)
		switch err {
		case nil:
			return nil
		case unix.EINTR:
			continue
		case unix.EWOULDBLOCK:
		default:
			return cannotLock(err, h.path)
		}
		if holders = findHolders(h.file, h.id, names); len(holders) > 0 {
			break
		}
	}
	return conflict(h.path, h.mode, holders)
}

// File is the open, locked image: what is handed to the supervisor or engine.
// It stays the Held's.
func (h *Held) File() *os.File { return h.file }

// Path is the path as it was given.
func (h *Held) Path() string { return h.path }

// Mode is the lock's mode.
func (h *Held) Mode() Mode { return h.mode }

// Close closes this descriptor. The lock ends with the last one.
func (h *Held) Close() error { return h.file.Close() }

// identify checks that file is a regular file.
func identify(file *os.File, path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		return identity{}, cannotOpen(err, path, Shared)
	}
	what := ""
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return identity{st.Dev, st.Ino}, nil
	case unix.S_IFDIR:
		what = "a directory"
	case unix.S_IFIFO:
		what = "a FIFO"
	case unix.S_IFSOCK:
		what = "a socket"
	case unix.S_IFBLK, unix.S_IFCHR:
		what = "a device"
	default:
		what = "of an unknown type"
	}
	return identity{}, fault.New(fault.Invalid, stage, "disk image %q is %s: it must be a regular file", path, what)
}

// cannotOpen says why an image cannot be opened, and what to do.
func cannotOpen(err error, path string, mode Mode) error {
	e := fault.Wrap(err, fault.IO, stage, fmt.Sprintf("disk image %q", path))
	switch {
	case errors.Is(err, unix.ENOENT):
		if target, lerr := os.Readlink(path); lerr == nil {
			e.Message += fmt.Sprintf("; it is a link to %q, which leads nowhere", target)
		}
	case errors.Is(err, unix.ELOOP):
		e.Code = fault.Invalid
		e.Message += "; it goes round in circles, or through a link of /proc, which differs from process to process: give the path itself"
	case errors.Is(err, unix.ENOSYS):
		e.Code = fault.Unsupported
		e.Message += "; disk images need Linux 5.6 (openat2) and a seccomp filter that allows it"
	case errors.Is(err, unix.EACCES) && mode == Shared:
		e.Message += fmt.Sprintf("; uid %d must be able to read it", os.Geteuid())
	case mode == Exclusive:
		e.Message = fmt.Sprintf("disk image %q: open for writing: %v; attach it read-only, or make it writable for uid %d", path, err, os.Geteuid())
	}
	return e
}

func cannotLock(err error, path string) error {
	e := fault.Wrap(err, fault.IO, stage, fmt.Sprintf("disk image %q: lock", path))
	if err == unix.ENOLCK || err == unix.EOPNOTSUPP || err == unix.ENOSYS || err == unix.EINVAL {
		e.Code = fault.Unsupported
		e.Message += "; its file system has no locks: move the image to another one"
	}
	return e
}
