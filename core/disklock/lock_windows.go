package disklock

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// stage is where errors of disk images arise: they are file systems of the guest.
const stage = fault.StageRoot

// lockAt is where in an image the lock lies: a byte behind the end of any, since a
// lock also keeps others from reading and writing. Whoever knows the place takes
// part; other programs are not kept off.
const lockAt = 1 << 62

// Held is a lock on an image. It belongs to the handle: it ends when that is closed,
// by death too. Whoever is to hold it for the sandbox's life, the supervisor, takes
// it himself.
type Held struct {
	file *os.File
	path string
	mode Mode
	id   identity
}

// identity tells files apart, whatever their paths.
type identity struct {
	volume uint32
	index  uint64
}

// Lock locks the image at path without waiting. Exclusive opens it for reading
// and writing, Shared for reading.
func Lock(path string, mode Mode, names Names) (*Held, error) {
	file, err := open(path, mode)
	if err != nil {
		return nil, err
	}
	return adopt(file, path, mode)
}

// Open opens the image at path, without locking it, and checks what it is.
func Open(path string) (*os.File, error) {
	file, err := open(path, Shared)
	if err != nil {
		return nil, err
	}
	if _, err := identify(file, path); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func open(path string, mode Mode) (*os.File, error) {
	switch {
	case path == "" || strings.IndexByte(path, 0) >= 0 || !filepath.IsAbs(path):
		return nil, fault.New(fault.Invalid, fault.StageArgument, "disk image %q: the path must be absolute", path)
	}
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, cannotOpen(err, path, mode)
	}
	access := uint32(windows.GENERIC_READ)
	if mode == Exclusive {
		access |= windows.GENERIC_WRITE
	}
	h, err := windows.CreateFile(name, access, windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE, nil,
		windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, 0)
	if err != nil {
		return nil, cannotOpen(err, path, mode)
	}
	return os.NewFile(uintptr(h), path), nil
}

// LockFile locks an image that is open in whatever way, as an open file of its
// own. path leads to it and names it in messages: a file of another name there is
// refused.
func LockFile(file *os.File, path string, mode Mode, names Names) (*Held, error) {
	id, err := identify(file, path)
	if err != nil {
		return nil, err
	}
	h, err := Lock(path, mode, names)
	if err == nil && h.id != id {
		h.Close()
		return nil, fault.New(fault.Invalid, stage, "disk image %q: another file was put in its place", path)
	}
	return h, err
}

func adopt(file *os.File, path string, mode Mode) (*Held, error) {
	id, err := identify(file, path)
	if err == nil {
		err = lock(file, path, mode)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Held{file: file, path: path, mode: mode, id: id}, nil
}

func lock(file *os.File, path string, mode Mode) error {
	how := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if mode == Exclusive {
		how |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	at := windows.Overlapped{OffsetHigh: lockAt >> 32}
	err := windows.LockFileEx(windows.Handle(file.Fd()), how, 0, 1, 0, &at)
	switch err {
	case nil:
		return nil
	case windows.ERROR_LOCK_VIOLATION, windows.ERROR_IO_PENDING:
		text := "another sandbox writes to it: stop that one"
		if mode == Exclusive {
			text = "another sandbox uses it: stop that one, or attach it read-only"
		}
		e := fault.New(fault.State, stage, "disk image %q is locked: %s", path, text)
		e.Errno = windows.ERROR_LOCK_VIOLATION
		return e
	}
	e := fault.Wrap(err, fault.IO, stage, fmt.Sprintf("disk image %q: lock", path))
	if err == windows.ERROR_INVALID_FUNCTION || err == windows.ERROR_NOT_SUPPORTED {
		e.Code = fault.Unsupported
		e.Message += "; its file system has no locks: move the image to another one"
	}
	return e
}

// File is the open, locked image. It stays the Held's.
func (h *Held) File() *os.File { return h.file }

// Path is the path as it was given.
func (h *Held) Path() string { return h.path }

// Mode is the lock's mode.
func (h *Held) Mode() Mode { return h.mode }

// Close ends the lock.
func (h *Held) Close() error { return h.file.Close() }

// identify checks that file is a regular file.
func identify(file *os.File, path string) (identity, error) {
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(windows.Handle(file.Fd()), &info); err != nil {
		return identity{}, cannotOpen(err, path, Shared)
	}
	if info.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0 {
		return identity{}, fault.New(fault.Invalid, stage, "disk image %q is a directory: it must be a regular file", path)
	}
	return identity{info.VolumeSerialNumber, uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow)}, nil
}

// cannotOpen says why an image cannot be opened, and what to do.
func cannotOpen(err error, path string, mode Mode) error {
	e := fault.Wrap(err, fault.IO, stage, fmt.Sprintf("disk image %q", path))
	switch {
	case err == windows.ERROR_SHARING_VIOLATION:
		e.Code = fault.Exists
		e.Message += "; another program has it open and lets nobody else"
	case err == windows.ERROR_ACCESS_DENIED && mode == Exclusive:
		e.Message += "; attach it read-only, or make it writable"
	}
	return e
}
