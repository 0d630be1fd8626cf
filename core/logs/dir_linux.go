package logs

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// openDir opens the log's directory in dirfd.
func openDir(dirfd int, name string) (*os.File, error) {
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openIn(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Join(dir.Name(), name), Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// numbers lists the files of a log, the oldest first.
func numbers(dir *os.File) ([]uint64, error) {
	// A descriptor of its own: the position in a directory is the description's.
	again, err := openIn(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer again.Close()
	names, err := again.Readdirnames(-1)
	var list []uint64
	for _, name := range names {
		if n := fileNumber(name); n > 0 {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return list, err
}

// The state file: u64 little-endian, the position up to which content is known to
// exist, then the name of the log. Whoever writes the log holds a lock on it.
const nameOffset = 8

func writeState(state *os.File, position uint64) error {
	_, err := state.WriteAt(binary.LittleEndian.AppendUint64(nil, position), 0)
	return err
}

func readState(state *os.File) uint64 {
	var buf [8]byte
	if _, err := state.ReadAt(buf[:], 0); err != nil {
		return 0
	}
	return binary.LittleEndian.Uint64(buf[:])
}

// Name tells which sandbox a log is of.
func Name(dirfd int, dir string) string {
	d, err := openDir(dirfd, dir)
	if err != nil {
		return ""
	}
	defer d.Close()
	state, err := openIn(d, stateName, unix.O_RDONLY)
	if err != nil {
		return ""
	}
	defer state.Close()
	name, _ := io.ReadAll(io.NewSectionReader(state, nameOffset, 1024))
	return string(name)
}

// lockWait bounds the wait for the lock of a writer that the kernel is ending.
const (
	lockWait = 2 * time.Second
	lockPoll = 5 * time.Millisecond
)

// lockState takes the writer's lock. An open file description's lock, other than
// flock's, can be looked at without being taken, and ends with the process.
func lockState(state *os.File) error {
	for deadline := time.Now().Add(lockWait); ; time.Sleep(lockPoll) {
		lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		err := unix.FcntlFlock(state.Fd(), unix.F_OFD_SETLK, &lock)
		if err != unix.EAGAIN && err != unix.EACCES || time.Now().After(deadline) {
			return os.NewSyscallError("lock", err)
		}
	}
}

func unlockState(state *os.File) {
	lock := unix.Flock_t{Type: unix.F_UNLCK, Whence: io.SeekStart}
	unix.FcntlFlock(state.Fd(), unix.F_OFD_SETLK, &lock)
}

// written reports whether somebody writes the log.
func written(state *os.File) bool {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err := unix.FcntlFlock(state.Fd(), unix.F_OFD_GETLK, &lock)
	return err == nil && lock.Type != unix.F_UNLCK
}

// Remove deletes a log. None is no error.
func Remove(dirfd int, name string) error {
	dir, err := openDir(dirfd, name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	again, err := openIn(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer again.Close()
	files, err := again.Readdirnames(-1)
	for _, file := range files {
		if uerr := unix.Unlinkat(int(dir.Fd()), file, 0); uerr != nil && err == nil {
			err = &os.PathError{Op: "remove", Path: file, Err: uerr}
		}
	}
	if err == nil {
		err = os.NewSyscallError("rmdir", unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR))
	}
	return err
}
