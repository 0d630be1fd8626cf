package mounts

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// removeDir removes a directory and all that is in it. The guest may have made
// what is in it: directories without access rights, or nested deeper than there
// are descriptors or stack. So subdirectories are moved up beside the first one,
// under a staging name, and removed one after the other. Only directories get
// other access rights: a file may be a hard link to one of the host's.
func removeDir(parent int, name string) error {
	for pending := []string{name}; len(pending) > 0; {
		last := len(pending) - 1
		dir := pending[last]
		moved, err := emptyDir(parent, dir)
		pending = append(pending[:last], moved...)
		if err == nil {
			err = ignoreMissing(unix.Unlinkat(parent, dir, unix.AT_REMOVEDIR))
		}
		if err != nil {
			return &os.PathError{Op: "remove", Path: dir, Err: err}
		}
	}
	return nil
}

// emptyDir removes a directory's files, and moves its directories to parent;
// it returns their new names.
func emptyDir(parent int, name string) (moved []string, err error) {
	dir, err := openOwn(parent, name)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	defer dir.Close()
	const atATime = 1024 // names in memory, however many there are
	for {
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return moved, err
		}
		names, err := dir.Readdirnames(atATime)
		if len(names) == 0 {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return moved, err
		}
		for _, entry := range names {
			to, err := removeEntry(parent, int(dir.Fd()), entry)
			if err != nil {
				return moved, err
			}
			if to != "" {
				moved = append(moved, to)
			}
		}
	}
}

// removeEntry unlinks a file, or moves a directory to parent and returns its new name.
func removeEntry(parent, dir int, entry string) (string, error) {
	err := unix.Unlinkat(dir, entry, 0)
	if err != unix.EISDIR {
		return "", ignoreMissing(err)
	}
	// To move a directory is to change it.
	sub, err := openOwn(dir, entry)
	if err != nil {
		return "", ignoreMissing(err)
	}
	sub.Close()
	to := newStageName()
	if err := unix.Renameat2(dir, entry, parent, to, unix.RENAME_NOREPLACE); err != nil {
		return "", ignoreMissing(err)
	}
	return to, nil
}

func ignoreMissing(err error) error {
	if err == unix.ENOENT {
		return nil
	}
	return err
}

// openOwn opens a directory of ours for reading, and gives us all rights on it,
// whatever the umask was or the guest did. It follows no link.
func openOwn(parent int, name string) (*os.File, error) {
	path, err := unix.Openat(parent, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(path)
	if err := unix.Chmod(fdPath(path), 0o700); err != nil {
		return nil, err
	}
	fd, err := unix.Open(fdPath(path), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}
