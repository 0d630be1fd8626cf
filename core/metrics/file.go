package metrics

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

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

// failed says of which file an error is. That it is closed stays as it is: with tries
// again.
func failed(err error, path string) error {
	if errors.Is(err, os.ErrClosed) {
		return err
	}
	return fault.Wrap(err, fault.IO, fault.StageState, "metrics registry "+path)
}

func damaged(path, format string, args ...any) error {
	e := fault.New(fault.IO, fault.StageState, format, args...)
	e.Message = "metrics registry " + path + " " + e.Message + ": remove it, no sandbox needs it"
	return e
}

// openFile opens an existing registry and checks that it is one, and ours.
func openFile(path string) (*file, error) {
	opened, err := openShared(path, false)
	if err != nil {
		return nil, failed(err, path)
	}
	f := &file{File: opened, path: path}
	if err := f.validate(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// validate reads the header for the first time.
func (f *file) validate() error {
	st, err := f.stat()
	if err != nil {
		return err
	}
	if !st.regular {
		return damaged(f.path, "is not a regular file")
	}
	if !st.own || !st.private {
		return fault.New(fault.Permission, fault.StageState,
			"metrics registry %s belongs to %s: it must be yours alone, or use another state directory", f.path, st.owner)
	}
	buf := make([]byte, headerSize)
	if st.size < headerSize {
		return damaged(f.path, "is truncated to %d bytes", st.size)
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
	return f.checkSize(st.size)
}

func (f *file) checkSize(size int64) error {
	if want := registrySize(f.capacity); size != want {
		return damaged(f.path, "has %d bytes instead of %d", size, want)
	}
	return nil
}

// check repeats what may have changed since the file was opened. used is how many
// slots are worth a look: the rest was never used.
func (f *file) check() (used uint32, err error) {
	size, err := f.size()
	if err != nil {
		return 0, err
	}
	if err := f.checkSize(size); err != nil {
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
		held, err := f.tryLock()
		switch {
		case err == nil && held:
			return nil
		case err != nil:
			return failed(err, f.path)
		case time.Now().After(deadline):
			return fault.New(fault.TimedOut, fault.StageState,
				"metrics registry %s: another process has held its lock for %v: is it stopped?", f.path, lockTimeout)
		}
		time.Sleep(pause) // the lock has no form that waits for a limited time
	}
}

// control runs a system call on the descriptor, which stays open meanwhile.
func (f *file) control(call func(fd uintptr) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return failed(err, f.path)
	}
	var result error
	if raw.Control(func(fd uintptr) { result = call(fd) }) != nil { // it does not say os.ErrClosed
		return failed(os.ErrClosed, f.path)
	}
	return result
}

// status is what the checks of a registry file need to know of it.
type status struct {
	regular bool
	own     bool   // the user's
	private bool   // nobody else can write it
	owner   string // for messages
	links   uint64
	size    int64
}

func registryPath(dir string) string { return filepath.Join(dir, fileName) }
