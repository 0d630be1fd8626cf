package gvisor

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
)

// detach returns a clone of the mounts at and below a directory, or of the one
// that shows a file, that is attached nowhere, and whether its owners are mapped:
// not every file system can do that, nor a kernel before 5.12. attr are
// MOUNT_ATTR_* flags; userns maps the owners, nil does not.
func detach(source *os.File, attr uint64, userns *os.File) (*os.File, bool, error) {
	tree, err := wire.Clone(source)
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
	if err := wire.SetAttributes(tree, attr); err != nil {
		tree.Close()
		return nil, false, err
	}
	return tree, false, nil
}
