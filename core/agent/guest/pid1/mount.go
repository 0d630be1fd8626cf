package pid1

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// openSources opens what is bound from our own root: first that of the root, then
// those of the mounts; -1 where there is none.
func openSources(m *wire.Config) ([]int, error) {
	var fds []int
	for _, mount := range append([]wire.Mount{m.Root}, m.Mounts...) {
		fd := -1
		if mount.Kind == wire.MountBind {
			var err error
			if fd, err = unix.Open(mount.Source, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
				closeSources(fds)
				return nil, step(err, "open "+strconv.Quote(mount.Source))
			}
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func closeSources(fds []int) {
	for _, fd := range fds {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// diskTimeout is how long a disk may take to appear.
const diskTimeout = 10 * time.Second

// findDisk returns the device of the disk with a serial. The order of disks is
// not reliable.
func findDisk(serial string) (string, error) {
	for start := time.Now(); time.Since(start) < diskTimeout; time.Sleep(time.Millisecond) {
		for _, name := range names("/sys/block") {
			if strings.TrimRight(readFile("/sys/block/"+name+"/serial"), "\n") == serial {
				return "/dev/" + name, nil
			}
		}
	}
	return "", &failure{"no disk has the serial " + strconv.Quote(serial), unix.ENODEV}
}

func mountFlags(flags uint8) (out uintptr) {
	for bit, flag := range map[uint8]uintptr{
		wire.ReadOnly: unix.MS_RDONLY, wire.NoExec: unix.MS_NOEXEC, wire.NoSUID: unix.MS_NOSUID, wire.NoDev: unix.MS_NODEV,
	} {
		if flags&bit != 0 {
			out |= flag
		}
	}
	return out
}

// mountOn mounts m on a directory or file that is there.
func mountOn(target string, m *wire.Mount, source int) error {
	flags := mountFlags(m.Flags)
	switch m.Kind {
	case wire.MountTmpfs:
		return unix.Mount("tmpfs", target, "tmpfs", flags, "mode=755,size="+strconv.FormatUint(m.SizeBytes, 10))
	case wire.MountBind:
		return bind(fdPath(source), target, flags)
	}
	device, err := findDisk(m.Source)
	if err != nil {
		return err
	}
	return unix.Mount(device, target, m.Type, flags, "")
}

// bind mounts a directory or file again, with flags of its own.
func bind(source, target string, flags uintptr) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if flags == 0 {
		return nil
	}
	fd, err := unix.Open(target, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return restrict(fd, flags)
}

// restrict adds flags to the mount that fd lies on. Those that it has cannot be
// taken away in a user namespace.
func restrict(fd int, flags uintptr) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	flags |= uintptr(fs.Flags) & (unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME)
	if fs.Flags&unix.ST_RELATIME != 0 {
		flags |= unix.MS_RELATIME
	}
	return unix.Mount("", fdPath(fd), "", unix.MS_BIND|unix.MS_REMOUNT|flags, "")
}

// mountAt mounts m at its target within root, of which missing parts are made.
func mountAt(root int, m *wire.Mount, source int) error {
	file := false
	if m.Kind == wire.MountBind {
		var st unix.Stat_t
		if err := unix.Fstat(source, &st); err != nil {
			return err
		}
		file = st.Mode&unix.S_IFMT != unix.S_IFDIR
	}
	fd, err := place(root, m.Target, file)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if m.Kind != wire.MountBind {
		return mountOn(fdPath(fd), m, source)
	}
	if err := unix.Mount(fdPath(source), fdPath(fd), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if m.Flags == 0 {
		return nil
	}
	mounted, err := within(root, m.Target)
	if err != nil {
		return err
	}
	defer unix.Close(mounted)
	return restrict(mounted, mountFlags(m.Flags))
}

// within opens a path as if root were the root: links in it lead nowhere else.
func within(root int, path string) (int, error) {
	return unix.Openat2(root, path, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// place opens a path within root, and makes what is missing of it: directories, and
// a file at its end if that is wanted.
func place(root int, path string, file bool) (int, error) {
	fd, err := within(root, path)
	if err != unix.ENOENT {
		return fd, err
	}
	path = strings.TrimRight(path, "/")
	cut := strings.LastIndexByte(path, '/')
	parent := path[:max(cut, 0)]
	if parent == "" {
		parent = "/"
	}
	dir, err := place(root, parent, false)
	if err != nil {
		return -1, err
	}
	defer unix.Close(dir)
	name := path[cut+1:]
	if file {
		err = unix.Mknodat(dir, name, unix.S_IFREG|0o644, 0)
	} else {
		err = unix.Mkdirat(dir, name, 0o755)
	}
	if err != nil && err != unix.EEXIST {
		return -1, err
	}
	return within(root, path)
}
