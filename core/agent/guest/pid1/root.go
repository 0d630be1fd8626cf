package pid1

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// Directories below the place where the root is made.
const (
	lowerDir = "lower"
	upperDir = "upper"
	rootDir  = "root"
)

// makeRoot makes the guest's root: the given one, an overlay over it, the kernel's
// file systems, mounts. Then it becomes the root of all that we start.
func (a *Agent) makeRoot(m *wire.Config) error {
	sources, err := openSources(m)
	if err != nil {
		return err
	}
	defer closeSources(sources)
	if err := a.enterBase(); err != nil {
		return err
	}
	if err := a.layers(m, sources); err != nil {
		return err
	}
	root, err := unix.Open(rootDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return step(err, "open root")
	}
	defer unix.Close(root)
	if err := a.kernelFileSystems(root, m.ShmBytes); err != nil {
		return err
	}
	for i := range m.Mounts {
		if err := mountAt(root, &m.Mounts[i], sources[i+1]); err != nil {
			return step(err, "mount "+strconv.Quote(m.Mounts[i].Target))
		}
	}
	return step(a.enterRoot(), "enter root")
}

// enterBase goes to a directory of our own.
func (a *Agent) enterBase() error {
	base := parameter("base")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return step(err, "make mounts private")
	}
	if a.vm {
		base = "/machine"
		if err := unix.Mkdir(base, 0o700); err != nil && err != unix.EEXIST {
			return step(err, "mkdir "+base)
		}
	}
	if err := unix.Mount("base", base, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=700"); err != nil {
		return step(err, "mount "+base)
	}
	if err := unix.Chdir(base); err != nil {
		return step(err, "chdir "+base)
	}
	for _, dir := range []string{lowerDir, upperDir, rootDir} {
		if err := unix.Mkdir(dir, 0o755); err != nil {
			return step(err, "mkdir "+dir)
		}
	}
	return nil
}

// layers mounts the root, or an overlay over it.
func (a *Agent) layers(m *wire.Config, sources []int) error {
	root := m.Root
	root.Flags |= wire.ReadOnly
	if m.Upper.Kind == 0 {
		return step(mountOn(rootDir, &root, sources[0]), "mount root")
	}
	if err := mountOn(lowerDir, &root, sources[0]); err != nil {
		return step(err, "mount root "+strconv.Quote(root.Source))
	}
	if err := mountOn(upperDir, &m.Upper, -1); err != nil {
		return step(err, "mount upper layer")
	}
	fd, err := unix.Open(upperDir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return step(err, "open upper layer")
	}
	a.upper, a.upperDisk = fd, m.Upper.Kind == wire.MountDisk
	const changes, work = upperDir + "/changes", upperDir + "/work"
	if err := unix.Mkdir(work, 0o700); err != nil && err != unix.EEXIST {
		return step(err, "mkdir in upper layer")
	}
	switch err := unix.Mkdir(changes, 0o755); err {
	case nil:
		copyMode(lowerDir, changes)
	case unix.EEXIST:
	default:
		return step(err, "mkdir in upper layer")
	}
	options := "lowerdir=" + lowerDir + ",upperdir=" + changes + ",workdir=" + work
	err = unix.Mount("root", rootDir, "overlay", 0, options)
	if err == unix.EPERM { // in a user namespace
		err = unix.Mount("root", rootDir, "overlay", 0, options+",userxattr")
	}
	return step(err, "mount overlay")
}

// copyMode gives the upper layer's root what the lower one has, which it hides.
func copyMode(from, to string) {
	var st unix.Stat_t
	if unix.Stat(from, &st) == nil {
		unix.Chown(to, int(st.Uid), int(st.Gid))
		unix.Chmod(to, st.Mode&0o7777)
	}
}

// enterRoot makes the new root that of the mount namespace. An initramfs cannot be
// left by pivot_root: its content is deleted, and the new root moved over it.
func (a *Agent) enterRoot() error {
	if err := unix.Chdir(rootDir); err != nil {
		return err
	}
	if !a.vm {
		if err := unix.PivotRoot(".", "."); err != nil {
			return err
		}
		return unix.Unmount(".", unix.MNT_DETACH)
	}
	freeInitramfs()
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return unix.Chdir("/")
}
