package wire

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Annotations of the specification that the gofer gets.
const (
	RootAnnotation   = "microsandbox.root"   // number of the donated mount that is the root
	MountsAnnotation = "microsandbox.mounts" // a Plan as JSON
)

const (
	// RootTarget is where the gofer attaches a detached root, in its own mount
	// namespace. The sentry needs the same directory to build its chroot.
	RootTarget = "/tmp"
	// EmptyDir is the directory below it with what is attached at the targets of
	// binds, by number.
	EmptyDir = ".empty"
)

// BindSource is what the specification names as the source of bind number i. It
// also tells the gofer's connections apart.
func BindSource(i int) string { return filepath.Join(RootTarget, EmptyDir, strconv.Itoa(i)) }

// IsBindSource reports whether a source is one of BindSource.
func IsBindSource(source string) bool {
	return filepath.Dir(source) == filepath.Join(RootTarget, EmptyDir)
}

// Mount tells the gofer of a directory or file that it is to serve.
type Mount struct {
	// Donated is the number of a detached mount among those that the gofer is
	// started with. It is -1 where the
	// kernel allows only the gofer to clone a mount: then it opens Path, which
	// must lead to the file with this Dev and Ino, and sets Attr, MOUNT_ATTR_*.
	Donated int    `json:"donated"`
	Path    []byte `json:"path,omitempty"`
	Dev     uint64 `json:"dev,omitempty"`
	Ino     uint64 `json:"ino,omitempty"`
	Attr    uint64 `json:"attr,omitempty"`
	Dir     bool   `json:"dir"`
}

// Plan is everything that a gofer serves besides the host root's own binds.
type Plan struct {
	Root  *Mount  `json:"root,omitempty"` // nil: the root is an image
	Binds []Mount `json:"binds"`
}

// DonatedFD is the gofer's descriptor of donated mount i.
func DonatedFD(i int) int { return firstFD + i }

const firstFD = 3 // after the standard streams

// Open opens the path, and checks that it leads to what was meant.
func (m Mount) Open() (*os.File, error) {
	fd, err := unix.Open(string(m.Path), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: string(m.Path), Err: err}
	}
	f := os.NewFile(uintptr(fd), string(m.Path))
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, os.NewSyscallError("fstat", err)
	}
	if st.Dev != m.Dev || st.Ino != m.Ino {
		f.Close()
		return nil, fmt.Errorf("%q is another file now", m.Path)
	}
	return f, nil
}

// Clone copies the mount of an open file or directory, with all below it.
func Clone(source *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(int(source.Fd()), "",
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	return os.NewFile(uintptr(fd), "tree"), nil
}

// SetAttributes sets MOUNT_ATTR_* flags. On kernels that have no mount_setattr
// (before 5.12) it is the sentry and the gofer that keep to them.
func SetAttributes(tree *os.File, attr uint64) error {
	err := unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attr})
	if err == unix.ENOSYS {
		return nil
	}
	return os.NewSyscallError("mount_setattr", err)
}
