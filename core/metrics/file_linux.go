package metrics

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

const (
	fileName = "metrics"
	newName  = ".metrics.new"

	// lockTimeout bounds the wait for the lock. It is held for microseconds, so
	// only a holder that was stopped makes anybody wait that long.
	lockTimeout = 5 * time.Second
)

// file is one opened registry file, checked.
type file struct {
	*os.File
	path string
	header

	mu sync.Mutex // flock does not tell the users of one open file apart
}

func failed(err error, path string) error {
	return fault.Wrap(err, fault.IO, fault.StageState, "metrics registry "+path)
}

func damaged(path, format string, args ...any) error {
	e := fault.New(fault.IO, fault.StageState, format, args...)
	e.Message = "metrics registry " + path + " " + e.Message + ": remove it, no sandbox needs it"
	return e
}

// openFile opens an existing registry and checks that it is one, and ours.
func openFile(path string) (*file, error) {
	// O_NONBLOCK: not to wait for the other end of what may be a FIFO.
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, failed(err, path)
	}
	f := &file{File: os.NewFile(uintptr(fd), path), path: path}
	if err := f.validate(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// validate reads the header for the first time.
func (f *file) validate() error {
	var st unix.Stat_t
	if err := f.stat(&st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return damaged(f.path, "is not a regular file")
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return fault.New(fault.Permission, fault.StageState,
			"metrics registry %s belongs to uid %d with mode %#o: it must be yours alone, or use another state directory",
			f.path, st.Uid, st.Mode&0o7777)
	}
	buf := make([]byte, headerSize)
	if st.Size < headerSize {
		return damaged(f.path, "is truncated to %d bytes", st.Size)
	}
	if err := f.read(buf, 0); err != nil {
		return err
	}
	if string(buf[:8]) != magic {
		return damaged(f.path, "is some other file")
	}
	h, checked := decodeHeader(buf)
	if h.version != Version {
		return fault.New(fault.TooNew, fault.StageState,
			"metrics registry %s has version %d, this library knows %d: use another state directory, or remove it when no sandbox runs",
			f.path, h.version, Version)
	}
	if !checked || h.headerSize != headerSize || h.slotSize != slotSize || h.capacity == 0 || h.capacity > MaxCapacity {
		return damaged(f.path, "has a damaged header")
	}
	f.header = h
	return f.checkSize(&st)
}

func (f *file) checkSize(st *unix.Stat_t) error {
	if want := registrySize(f.capacity); st.Size != want {
		return damaged(f.path, "has %d bytes instead of %d", st.Size, want)
	}
	return nil
}

// check repeats what may have changed since the file was opened. used is how many
// slots are worth a look: the rest was never used.
func (f *file) check() (used uint32, err error) {
	var st unix.Stat_t
	if err := f.stat(&st); err != nil {
		return 0, err
	}
	if err := f.checkSize(&st); err != nil {
		return 0, err
	}
	buf := make([]byte, headerSize)
	if err := f.read(buf, 0); err != nil {
		return 0, err
	}
	if h, checked := decodeHeader(buf); !checked || h != f.header || string(buf[:8]) != magic {
		return 0, damaged(f.path, "has a damaged header")
	}
	return uint32(min(le.Uint64(buf[offUsed:]), uint64(f.capacity))), nil
}

// current reports whether the file still is the one at its path.
func (f *file) current() (bool, error) {
	var mine, there unix.Stat_t
	if err := f.stat(&mine); err != nil {
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

// control runs a system call on the descriptor, which stays open meanwhile.
func (f *file) control(call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return failed(err, f.path)
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = call(int(fd)) }); err != nil {
		return failed(err, f.path)
	}
	return result
}

func (f *file) stat(st *unix.Stat_t) error {
	if err := f.control(func(fd int) error { return unix.Fstat(fd, st) }); err != nil {
		return failed(err, f.path)
	}
	return nil
}

// read fills buf; a file too short for it was truncated after it was opened.
func (f *file) read(buf []byte, at int64) error {
	n, err := f.ReadAt(buf, at)
	if n == len(buf) {
		return nil
	}
	if errors.Is(err, os.ErrClosed) {
		return failed(err, f.path)
	}
	if n > 0 || err == nil || errors.Is(err, io.EOF) {
		return damaged(f.path, "was truncated at byte %d", at+int64(n))
	}
	return failed(err, f.path)
}

func (f *file) write(buf []byte, at int64) error {
	if _, err := f.WriteAt(buf, at); err != nil {
		return failed(err, f.path)
	}
	return nil
}

func (f *file) writeWord(v uint64, at int64) error {
	return f.write(le.AppendUint64(nil, v), at)
}

// lock takes the registry's lock. The caller calls unlock when err is nil.
func (f *file) lock() error {
	f.mu.Lock()
	if err := f.flock(); err != nil {
		f.mu.Unlock()
		return err
	}
	return nil
}

func (f *file) flock() error {
	deadline := time.Now().Add(lockTimeout)
	for pause := 20 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		err := f.control(func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
		switch {
		case err == nil:
			return nil
		case err != unix.EWOULDBLOCK && err != unix.EINTR:
			return failed(err, f.path)
		case time.Now().After(deadline):
			return fault.New(fault.TimedOut, fault.StageState,
				"metrics registry %s: another process has held its lock for %v: is it stopped?", f.path, lockTimeout)
		}
		time.Sleep(pause) // flock has no form that waits for a limited time
	}
}

// unlock gives the lock back explicitly: a forked copy of the descriptor would
// otherwise keep it.
func (f *file) unlock() {
	f.control(func(fd int) error { return unix.Flock(fd, unix.LOCK_UN) })
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

func registryPath(dir string) string { return filepath.Join(dir, fileName) }
