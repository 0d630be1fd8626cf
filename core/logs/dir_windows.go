package logs

import (
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/dir"
)

// openDir opens a log's directory, in a way that does not keep it from being
// deleted.
func openDir(in dir.Ref, name string) (*os.File, error) {
	path := filepath.Join(in, name)
	h, err := open(path, windows.GENERIC_READ, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), path), nil
}

func open(path string, access, disposition, flags uint32) (windows.Handle, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	h, err := windows.CreateFile(name, access, share, nil, disposition, flags, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return h, nil
}

// openIn opens a file that others may delete meanwhile: os.OpenFile would not let
// them.
func openIn(dir *os.File, name string, flags int) (*os.File, error) {
	access, disposition := uint32(windows.GENERIC_READ), uint32(windows.OPEN_EXISTING)
	if flags&os.O_RDWR != 0 {
		access |= windows.GENERIC_WRITE
	}
	switch {
	case flags&os.O_CREATE != 0 && flags&os.O_TRUNC != 0:
		disposition = windows.CREATE_ALWAYS
	case flags&os.O_CREATE != 0:
		disposition = windows.OPEN_ALWAYS
	}
	path := filepath.Join(dir.Name(), name)
	h, err := open(path, access, disposition, windows.FILE_ATTRIBUTE_NORMAL|windows.FILE_FLAG_OPEN_REPARSE_POINT)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(h), path), nil
}

// makeDir makes a log's directory. That it is there already is no error.
func makeDir(in dir.Ref, name string) error {
	if err := os.Mkdir(filepath.Join(in, name), 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	return nil
}

func unlinkIn(dir *os.File, name string) error { return os.Remove(filepath.Join(dir.Name(), name)) }

// deleted reports whether an open file has no name any more, or loses it with its
// last handle.
func deleted(file *os.File) (bool, error) {
	var info struct { // FILE_STANDARD_INFO
		allocation, size int64
		links            uint32
		deletePending    bool
		directory        bool
	}
	err := windows.GetFileInformationByHandleEx(windows.Handle(file.Fd()), windows.FileStandardInfo,
		(*byte)(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	return info.deletePending || info.links == 0, os.NewSyscallError("GetFileInformationByHandleEx", err)
}

// names lists a directory.
func names(dir *os.File) ([]string, error) {
	entries, err := os.ReadDir(dir.Name())
	list := make([]string, 0, len(entries))
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list, err
}

// lockAt is where in the state file the lock lies: far behind its end, since such a
// lock also keeps others from reading.
const lockAt = 1 << 30

func tryLock(state *os.File) error {
	at := windows.Overlapped{Offset: lockAt}
	return windows.LockFileEx(windows.Handle(state.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
}

// lockState takes the writer's lock, which ends with the process.
func lockState(state *os.File) error {
	for deadline := time.Now().Add(lockWait); ; time.Sleep(lockPoll) {
		err := tryLock(state)
		if err != windows.ERROR_LOCK_VIOLATION && err != windows.ERROR_IO_PENDING || time.Now().After(deadline) {
			return os.NewSyscallError("lock", err)
		}
	}
}

func unlockState(state *os.File) {
	at := windows.Overlapped{Offset: lockAt}
	windows.UnlockFileEx(windows.Handle(state.Fd()), 0, 1, 0, &at)
}

// written reports whether somebody writes the log. There is no way to look at a
// lock but to take it; a writer that begins in this moment tries again.
func written(state *os.File) bool {
	if tryLock(state) != nil {
		return true
	}
	unlockState(state)
	return false
}

// removeLimit bounds the wait for readers of deleted files, which keep the directory
// from being empty: they look ten times a second whether their writer has ended.
const removeLimit = 2 * time.Second

func removeDir(in dir.Ref, name string) error {
	for deadline := time.Now().Add(removeLimit); ; time.Sleep(lockPoll) {
		err := os.Remove(filepath.Join(in, name))
		if err == nil || os.IsNotExist(err) || time.Now().After(deadline) {
			return err
		}
	}
}
