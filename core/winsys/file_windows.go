package winsys

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"
)

// Share lets others read, write, rename and delete an open file; what package os
// opens cannot be renamed or deleted meanwhile.
const Share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE

// Open opens or makes a file, by the flags of CreateFile. Links at the end of the
// path are not followed.
func Open(path string, access, share, disposition, flags uint32, sa *windows.SecurityAttributes) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	h, err := windows.CreateFile(name, access, share, sa, disposition, flags|windows.FILE_FLAG_OPEN_REPARSE_POINT, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}

// OpenDir opens a directory in a way that does not keep it from being deleted.
func OpenDir(path string) (*os.File, error) {
	file, err := Open(path, windows.GENERIC_READ, Share, windows.OPEN_EXISTING, windows.FILE_FLAG_BACKUP_SEMANTICS, nil)
	if err != nil {
		return nil, err
	}
	if st, err := file.Stat(); err != nil || !st.IsDir() {
		file.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: windows.ERROR_DIRECTORY}
	}
	return file, nil
}

// others bounds the wait for another process that has a file open for a moment: a
// reader that is about to close it, or a program that looks into every new file.
const (
	othersLimit = 2 * time.Second
	othersPoll  = 5 * time.Millisecond
)

// patiently tries again while somebody else is in the way.
func patiently(do func() error) error {
	for deadline := time.Now().Add(othersLimit); ; time.Sleep(othersPoll) {
		err := do()
		busy := errors.Is(err, windows.ERROR_SHARING_VIOLATION) || errors.Is(err, windows.ERROR_ACCESS_DENIED) ||
			errors.Is(err, windows.ERROR_DIR_NOT_EMPTY)
		if !busy || time.Now().After(deadline) {
			return err
		}
	}
}

// Replace renames a file, over another one if need be.
func Replace(from, to string) error {
	return patiently(func() error { return os.Rename(from, to) })
}

// Remove deletes a file or an empty directory. None is no error.
func Remove(path string) error {
	err := patiently(func() error { return os.Remove(path) })
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// Empty deletes all that is in a directory but the files named keep.
func Empty(path, keep string) error {
	entries, err := os.ReadDir(path)
	if os.IsNotExist(err) {
		return nil
	}
	for _, e := range entries {
		if e.Name() == keep {
			continue
		}
		full := filepath.Join(path, e.Name())
		var rerr error
		if e.IsDir() { // a link to a directory is none
			rerr = Empty(full, "")
		}
		if rerr == nil {
			rerr = Remove(full)
		}
		if err == nil {
			err = rerr
		}
	}
	return err
}
