package store

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Shelf is the directory of stored sandboxes, one file each.
type Shelf struct {
	path string
	dir  *os.File
}

// OpenShelf opens the shelf below a state directory and makes it when missing.
func OpenShelf(path string) (*Shelf, error) {
	if err := os.MkdirAll(filepath.Join(path, "stored"), 0o700); err != nil {
		return nil, rootError(err, path)
	}
	return openShelf(path)
}

func openShelf(path string) (*Shelf, error) {
	dir, err := openOwned(path, "stored")
	if err != nil {
		return nil, err
	}
	s := &Shelf{path: path, dir: dir}
	s.sweep()
	return s, nil
}

// Close releases the shelf.
func (s *Shelf) Close() error { return s.dir.Close() }

func (s *Shelf) read(file string) (Stored, error) {
	fd, err := unix.Openat(s.FD(), file, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return Stored{}, err
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 1<<20))
	if err != nil {
		return Stored{}, err
	}
	return parseStored(data)
}

// Put stores a record, as one step, also across a power cut.
func (s *Shelf) Put(rec Stored) error {
	rec.Version = recordVersion
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	file := key(rec.Name) + shelfSuffix
	temp := tempFile(rec.Name) // one writer at a time: a name left by a killed one is used again
	dirfd := s.FD()
	f, err := s.openTemp(temp)
	if err == nil {
		_, err = f.Write(data)
		if serr := f.Sync(); err == nil {
			err = serr
		}
		failpoint.Point("stored.written")
		if err == nil {
			err = unix.Renameat(dirfd, temp, dirfd, file)
		}
		if err != nil {
			unix.Unlinkat(dirfd, temp, 0)
		}
		f.Close()
	}
	if err != nil {
		return fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("store sandbox %q in %q", rec.Name, s.path))
	}
	return nil
}

// openTemp opens an empty file for a record to come, locked: so a sweep knows that
// its writer lives.
func (s *Shelf) openTemp(temp string) (*os.File, error) {
	for {
		fd, err := unix.Openat(s.FD(), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, err
		}
		f := os.NewFile(uintptr(fd), temp)
		var st unix.Stat_t
		if err = unix.Flock(fd, unix.LOCK_EX); err == nil {
			err = unix.Fstat(fd, &st)
		}
		if err == nil && st.Nlink > 0 {
			return f, nil
		}
		f.Close()
		if err != nil && err != unix.EINTR {
			return nil, err
		}
	}
}

// sweep removes what killed writers left half-way.
func (s *Shelf) sweep() {
	files, _ := s.dir.Readdirnames(-1)
	for _, file := range files {
		if !strings.HasPrefix(file, ".") || !isKey(strings.TrimSuffix(file[1:], shelfSuffix)) {
			continue
		}
		fd, err := unix.Openat(s.FD(), file, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		// The lock may be that of the record itself, renamed in between: then the
		// name is another file's, or nobody's.
		var held, now unix.Stat_t
		if unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) == nil && unix.Fstat(fd, &held) == nil &&
			unix.Fstatat(s.FD(), file, &now, unix.AT_SYMLINK_NOFOLLOW) == nil && held.Ino == now.Ino {
			unix.Unlinkat(s.FD(), file, 0)
		}
		unix.Close(fd)
	}
}

// Withdraw forgets a name, but leaves its log to be read.
func (s *Shelf) Withdraw(name string) error {
	unix.Unlinkat(s.FD(), tempFile(name), 0)
	err := unix.Unlinkat(s.FD(), key(name)+shelfSuffix, 0)
	if err != nil && err != unix.ENOENT {
		return fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("remove stored sandbox %q", name))
	}
	return nil
}

func (s *Shelf) files() ([]string, error) {
	if _, err := s.dir.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	files, err := s.dir.Readdirnames(-1)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageState, "list stored sandboxes in "+s.path)
	}
	return files, nil
}

// FD is the open directory; it stays the shelf's.
func (s *Shelf) FD() int { return int(s.dir.Fd()) }

func (s *Shelf) has(file string) (bool, error) {
	err := unix.Faccessat(s.FD(), file, unix.F_OK, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT {
		return false, nil
	}
	return err == nil, err
}
