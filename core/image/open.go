//go:build linux

package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Open opens the source of a Dir or EROFS root and checks it, so that a root
// that cannot work is refused before anything boots. The file is opened once:
// what was checked is what is used. Errors have stage StageRoot.
func Open(r Root) (*os.File, error) {
	switch r.Kind {
	case Dir:
		return openDir(r.Path)
	case EROFS:
		return openEROFS(r.Path)
	}
	return nil, fault.New(fault.Invalid, fault.StageRoot, "root: kind %d has no file", r.Kind)
}

func openDir(path string) (*os.File, error) {
	if !filepath.IsAbs(path) {
		return nil, relative(path)
	}
	// The root is a place and not a link: gVisor takes the path as it stands.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err == unix.ENOTDIR && isOther(path) {
		e := fault.New(fault.Invalid, fault.StageRoot,
			"root %q: not a directory; an image file needs the root kind erofs", path)
		e.Errno = unix.ENOTDIR
		return nil, e
	}
	if err != nil {
		return nil, cannot(path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

// isOther tells whether path itself exists and is no directory.
func isOther(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir()
}

func openEROFS(path string) (*os.File, error) {
	if !filepath.IsAbs(path) {
		return nil, relative(path)
	}
	// O_NONBLOCK: a FIFO must not hold the boot up.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, cannot(path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	if err := CheckEROFS(f, path); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func relative(path string) error {
	return fault.New(fault.Invalid, fault.StageRoot, "root %q: the path must be absolute", path)
}

func cannot(path string, err error) error {
	e := fault.Wrap(err, fault.IO, fault.StageRoot, fmt.Sprintf("root %q", path))
	var errno syscall.Errno
	if errors.As(err, &errno) && errno == unix.EACCES {
		e.Message += fmt.Sprintf("; uid %d must be able to read it", os.Geteuid())
	}
	return e
}
