package logs

import (
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/dir"
)

// openDir opens a log's directory.
func openDir(dirfd dir.Ref, name string) (*os.File, error) {
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

// makeDir makes a log's directory. That it is there already is no error.
func makeDir(dirfd dir.Ref, name string) error {
	if err := unix.Mkdirat(dirfd, name, 0o700); err != nil && err != unix.EEXIST {
		return os.NewSyscallError("mkdir", err)
	}
	return nil
}

func unlinkIn(dir *os.File, name string) error { return unix.Unlinkat(int(dir.Fd()), name, 0) }

// deleted reports whether an open file has no name any more.
func deleted(file *os.File) (bool, error) {
	var st unix.Stat_t
	err := unix.Fstat(int(file.Fd()), &st)
	return st.Nlink == 0, err
}

// names lists a directory.
func names(dir *os.File) ([]string, error) {
	// A descriptor of its own: the position in a directory is the description's.
	again, err := openIn(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer again.Close()
	return again.Readdirnames(-1)
}

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

func removeDir(dirfd dir.Ref, name string) error {
	return os.NewSyscallError("rmdir", unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR))
}
