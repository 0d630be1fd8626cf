package jail

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// shown are the places of the host in which programs and their libraries are. Where
// such a place is a link, as with merged directories, a link is made.
var shown = []string{"/usr", "/lib", "/lib64", "/lib32", "/libx32", "/bin", "/sbin"}

// errNoProc is what a mount of /proc fails with in some containers.
var errNoProc = errors.New("mount /proc: the host's is partly covered, as in some containers; allow an unmasked /proc")

// makeRoot builds the root directory and makes it this process's.
func makeRoot(s *spec) error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	root, err := place()
	if err != nil {
		return err
	}
	const data = "size=64k,nr_inodes=64,mode=755"
	if err := unix.Mount("jail", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, data); err != nil {
		return fmt.Errorf("mount the root directory: %w", err)
	}
	for _, dir := range shown {
		if err := show(root, dir); err != nil {
			return err
		}
	}
	if err := devices(root, s.Devices); err != nil {
		return err
	}
	proc := filepath.Join(root, "proc")
	if err := os.Mkdir(proc, 0o555); err != nil {
		return err
	}
	err = unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if errors.Is(err, unix.EPERM) {
		return errNoProc
	}
	if err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return pivot(root)
}

// place finds a directory to mount over: nothing in it is needed any more.
func place() (string, error) {
	for _, dir := range []string{"/tmp", "/mnt", "/var", "/run"} {
		if st, err := os.Lstat(dir); err == nil && st.IsDir() {
			return dir, nil
		}
	}
	return "", errors.New("there is no /tmp to mount the root directory on")
}

// show makes a directory of the host visible, read-only.
func show(root, dir string) error {
	st, err := os.Lstat(dir)
	if err != nil {
		return nil // not every host has each
	}
	target := filepath.Join(root, dir)
	if st.Mode()&os.ModeSymlink != 0 {
		link, err := os.Readlink(dir)
		if err != nil {
			return err
		}
		return os.Symlink(link, target)
	}
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(dir, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("show %s: %w", dir, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	err = unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attr)
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.12
		return readOnly(target)
	}
	if err != nil {
		return fmt.Errorf("show %s read-only: %w", dir, err)
	}
	return nil
}

// readOnly changes one mount; what lies on it keeps its flags. Flags that the mount has
// from another user namespace must be given again.
func readOnly(target string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(target, &fs); err != nil {
		return err
	}
	kept := uintptr(fs.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME)
	flags := kept | unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount("none", target, "", flags, ""); err != nil {
		return fmt.Errorf("show %s read-only: %w", target, err)
	}
	return nil
}

// devices makes the entries of /dev.
func devices(root string, list map[string]int) error {
	dev := filepath.Join(root, "dev")
	if err := os.Mkdir(dev, 0o755); err != nil {
		return err
	}
	for path, file := range list {
		target := filepath.Join(root, path)
		if file >= 0 {
			if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", FirstFD+file), target); err != nil {
				return err
			}
			continue
		}
		if err := os.WriteFile(target, nil, 0o600); err != nil {
			return err
		}
		if err := unix.Mount(path, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("show %s: %w", path, err)
		}
	}
	return nil
}

// pivot makes root the root directory; everything else is unmounted.
func pivot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the host's root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return err
	}
	const flags = unix.MS_REMOUNT | unix.MS_BIND | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("none", "/", "", flags, ""); err != nil {
		return fmt.Errorf("make the root directory read-only: %w", err)
	}
	return nil
}
