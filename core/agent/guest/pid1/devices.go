package pid1

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// Device files of the guest, as a gVisor guest has them: no disk, no port.
var devices = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

// secrets tell of the kernel's memory and insides, which no program needs.
var secrets = []string{
	"/proc/kcore", "/proc/kallsyms", "/proc/kmsg", "/proc/kpagecount", "/proc/kpageflags", "/proc/kpagecgroup",
	"/proc/keys", "/proc/partitions", "/proc/timer_list", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/iomem",
}

var deviceLinks = [][2]string{
	{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"},
}

// kernelFileSystems mounts /proc, /sys and /dev in root.
func (a *Agent) kernelFileSystems(root int, shmBytes uint64) error {
	const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := a.mountKernel(root, "/proc", "proc", quiet, ""); err != nil {
		return err
	}
	// What root of the guest could change there acts on the kernel itself.
	for _, path := range []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/acpi"} {
		if err := readOnly(root, path); err != nil && err != unix.ENOENT {
			return step(err, "protect "+path)
		}
	}
	for _, path := range secrets {
		if err := a.hide(root, path); err != nil && err != unix.ENOENT {
			return step(err, "hide "+path)
		}
	}
	if err := a.mountKernel(root, "/sys", "sysfs", quiet|unix.MS_RDONLY, ""); err != nil && a.vm {
		return err
	}
	if err := a.mountKernel(root, "/dev", "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC, "mode=755,size=64k"); err != nil {
		return err
	}
	dev, err := within(root, "/dev")
	if err != nil {
		return step(err, "open /dev")
	}
	defer unix.Close(dev)
	for _, d := range devices {
		if err := makeDevice(root, dev, d.name, unix.Mkdev(d.major, d.minor)); err != nil {
			return step(err, "/dev/"+d.name)
		}
	}
	for _, link := range deviceLinks {
		if err := unix.Symlinkat(link[0], dev, link[1]); err != nil {
			return step(err, "/dev/"+link[1])
		}
	}
	if err := a.mountKernel(root, "/dev/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"); err != nil {
		return err
	}
	size := "mode=1777,size=" + strconv.FormatUint(shmBytes, 10)
	return a.mountKernel(root, "/dev/shm", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, size)
}

func (a *Agent) mountKernel(root int, path, kind string, flags uintptr, options string) error {
	fd, err := place(root, path, false)
	if err != nil {
		return step(err, "the root has no directory "+path)
	}
	defer unix.Close(fd)
	return step(unix.Mount(kind, fdPath(fd), kind, flags, options), "mount "+path)
}

// hide covers a file by a device on a mount that knows no devices: nobody can open it,
// whatever capabilities there are.
func (a *Agent) hide(root int, path string) error {
	fd, err := within(root, path)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Mount(fdPath(a.null), fdPath(fd), "", unix.MS_BIND, ""); err != nil {
		return err
	}
	again, err := within(root, path)
	if err != nil {
		return err
	}
	defer unix.Close(again)
	return restrict(again, unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC)
}

func readOnly(root int, path string) error {
	fd, err := within(root, path)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Mount(fdPath(fd), fdPath(fd), "", unix.MS_BIND, ""); err != nil {
		return err
	}
	again, err := within(root, path)
	if err != nil {
		return err
	}
	defer unix.Close(again)
	return restrict(again, unix.MS_RDONLY)
}

// makeDevice makes a device file, or shows our own where none can be made.
func makeDevice(root, dev int, name string, number uint64) error {
	err := unix.Mknodat(dev, name, unix.S_IFCHR|0o666, int(number))
	if err != unix.EPERM {
		return err
	}
	fd, err := place(root, "/dev/"+name, true)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Mount("/dev/"+name, fdPath(fd), "", unix.MS_BIND, "")
}
