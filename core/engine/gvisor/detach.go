package gvisor

import (
	"os"

	"golang.org/x/sys/unix"
)

// detach returns a clone of the mounts at and below a directory, or of the one
// that shows a file, that is attached nowhere, and whether its owners are mapped:
// not every file system can do that, nor a kernel before 5.12. attr are
// MOUNT_ATTR_* flags; userns maps the owners, nil does not.
func detach(source *os.File, attr uint64, userns *os.File) (*os.File, bool, error) {
	tree, err := clone(source)
	if err != nil {
		return nil, false, err
	}
	fd := int(tree.Fd())
	if userns != nil {
		withMap := unix.MountAttr{Attr_set: attr | unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())}
		if unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &withMap) == nil {
			return tree, true, nil
		}
	}
	if err := setAttributes(tree, attr); err != nil {
		tree.Close()
		return nil, false, err
	}
	return tree, false, nil
}

// clone copies the mount of an open file or directory, with all below it.
func clone(source *os.File) (*os.File, error) {
	fd, err := unix.OpenTree(int(source.Fd()), "",
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	return os.NewFile(uintptr(fd), "tree"), nil
}

// setAttributes sets MOUNT_ATTR_* flags. On kernels that have no mount_setattr
// (before 5.12) it is the sentry and the gofer that keep to them.
func setAttributes(tree *os.File, attr uint64) error {
	err := unix.MountSetattr(int(tree.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: attr})
	if err == unix.ENOSYS {
		return nil
	}
	return os.NewSyscallError("mount_setattr", err)
}
