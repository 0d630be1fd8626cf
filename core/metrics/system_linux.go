package metrics

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// openShared opens a registry file for reading and writing.
func openShared(path string, create bool) (*os.File, error) {
	// O_NONBLOCK: not to wait for the other end of what may be a FIFO.
	flags := unix.O_RDWR | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
	if create {
		flags |= unix.O_CREAT
	}
	fd, err := unix.Open(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

// restrict lets nobody but the user read or write the file.
func (f *file) restrict() error { return f.Chmod(0o600) }

// moveTo gives the file its place.
func (f *file) moveTo(path string) error { return os.Rename(f.path, path) }

// current reports whether the file still is the one at its path.
func (f *file) current() (bool, error) {
	var mine, there unix.Stat_t
	if err := f.fstat(&mine); err != nil {
		return false, err
	}
	if err := unix.Lstat(f.path, &there); err != nil {
		if err == unix.ENOENT {
			return false, nil
		}
		return false, failed(err, f.path)
	}
	return mine.Dev == there.Dev && mine.Ino == there.Ino, nil
}

func (f *file) fstat(st *unix.Stat_t) error {
	if err := f.control(func(fd uintptr) error { return unix.Fstat(int(fd), st) }); err != nil {
		return failed(err, f.path)
	}
	return nil
}

func (f *file) stat() (status, error) {
	var st unix.Stat_t
	if err := f.fstat(&st); err != nil {
		return status{}, err
	}
	return status{
		regular: st.Mode&unix.S_IFMT == unix.S_IFREG, own: int(st.Uid) == os.Geteuid(), private: st.Mode&0o077 == 0,
		owner: fmt.Sprintf("uid %d with mode %#o", st.Uid, st.Mode&0o7777), links: uint64(st.Nlink), size: st.Size,
	}, nil
}

func (f *file) size() (int64, error) {
	var st unix.Stat_t
	err := f.fstat(&st)
	return st.Size, err
}

// tryLock takes the lock unless somebody else has it.
func (f *file) tryLock() (bool, error) {
	err := f.control(func(fd uintptr) error { return unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) })
	if err == unix.EWOULDBLOCK || err == unix.EINTR {
		return false, nil
	}
	return err == nil, err
}

// unlock gives the lock back explicitly: a forked copy of the descriptor would
// otherwise keep it.
func (f *file) unlock() {
	f.control(func(fd uintptr) error { return unix.Flock(int(fd), unix.LOCK_UN) })
	f.mu.Unlock()
}

// writable makes sure that a write does not end the host with SIGXFSZ.
func writable(path string, size int64) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		return failed(err, path)
	}
	if limit.Cur < uint64(size) {
		return fault.New(fault.Limit, fault.StageState,
			"metrics registry %s: it needs %d bytes, RLIMIT_FSIZE is %d: raise it", path, size, limit.Cur)
	}
	return nil
}

// mapUnit is what offsets of mappings are multiples of.
func mapUnit() int64 { return int64(unix.Getpagesize()) }

func mapShared(fd uintptr, offset int64, length int) ([]byte, error) {
	return unix.Mmap(int(fd), offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

func unmapShared(mapped []byte) { unix.Munmap(mapped) }

// monotonic is the host's clock that is never set.
func monotonic() (time.Duration, error) {
	var now unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return time.Duration(now.Nano()), err
}
