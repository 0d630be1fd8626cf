package pid1

import (
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// PortName is the virtio-serial port's.
const PortName = "agent"

// modulesDir holds the kernel's modules, and the file "load": their names, one a line,
// in the order in which they are loaded.
const modulesDir = "/modules/"

// portTimeout is how long the port may take to appear, and the host to open it.
const portTimeout = 60 * time.Second

// parameter is one that tests give, in the environment: "port", an inherited
// descriptor that is the stream, and "base", an empty directory, make an agent that is
// no machine; "cgroup", an open directory in cgroup v2, and "kill" choose how programs
// are killed. A kernel's command line has none of them.
func parameter(name string) string {
	value, _ := syscall.Getenv("MSB_AGENT_" + strings.ToUpper(name))
	return value
}

// Main is the agent's life. It returns an exit code where it is no machine's.
func Main() int {
	args := strings.Split(strings.TrimSuffix(readFile("/proc/self/cmdline"), "\x00"), "\x00")
	if args[0] == KeeperName {
		return Keep(args)
	}
	if given := parameter("port"); given != "" {
		fd, err := strconv.Atoi(given)
		if err != nil || unix.SetNonblock(fd, true) != nil {
			return 2
		}
		unix.CloseOnExec(fd)
		return serve(fd, false)
	}
	err := boot()
	if err != nil {
		complain(err.Error())
	}
	unix.Sync()
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	return 1
}

func serve(fd int, vm bool) int {
	IgnoreSignals()
	protect(true)
	unix.Umask(0o22)
	calmRuntime()
	a, err := New(fd, vm)
	if err != nil {
		complain(err.Error())
		return 1
	}
	err = a.Run()
	a.kill.signalAll(unix.SIGKILL)
	if err == errEOF {
		return 0
	}
	complain(err.Error())
	return 1
}

// complain writes to the kernel's log, which the console shows.
func complain(text string) { writeAt(unix.AT_FDCWD, "/dev/kmsg", "<0>guest agent: "+text) }

// boot makes a machine of a kernel that has just started us.
func boot() error {
	unix.Umask(0)
	for _, m := range []struct{ kind, target string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		unix.Mkdir(m.target, 0o755)
		if err := unix.Mount(m.kind, m.target, m.kind, 0, ""); err != nil && err != unix.EBUSY {
			return step(err, "mount "+m.target)
		}
	}
	loadModules()
	for _, name := range []string{"kptr_restrict", "dmesg_restrict"} {
		writeAt(unix.AT_FDCWD, "/proc/sys/kernel/"+name, "1")
	}
	fd, err := openPort()
	if err != nil {
		return err
	}
	serve(fd, true)
	return nil
}

// loadModules loads what the initramfs lists. One that is missing shows when what it
// is for is missing; the log tells both.
func loadModules() {
	for _, name := range strings.Fields(readFile(modulesDir + "load")) {
		fd, err := unix.Open(modulesDir+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.FinitModule(fd, "", 0)
			unix.Close(fd)
		}
		if err != nil && err != unix.EEXIST {
			complain("load module " + name + ": " + err.Error())
		}
	}
}

// freeInitramfs gives back the memory of what was needed for the boot only.
func freeInitramfs() {
	for _, name := range names(modulesDir) {
		unix.Unlink(modulesDir + name)
	}
	unix.Unlink("/init")
}

// openPort opens the port, once it is there and the host has opened its side: until
// then a read returns end of file.
func openPort() (int, error) {
	const class = "/sys/class/virtio-ports/"
	for start := time.Now(); time.Since(start) < portTimeout; time.Sleep(time.Millisecond) {
		for _, name := range names(class) {
			if strings.TrimRight(readFile(class+name+"/name"), "\n") != PortName {
				continue
			}
			fd, err := unix.Open("/dev/"+name, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
			if err == unix.ENOENT {
				continue
			}
			if err != nil {
				return -1, step(err, "open /dev/"+name)
			}
			return fd, awaitHost(fd, start)
		}
	}
	return -1, &failure{"no virtio-serial port is named " + PortName, unix.ENODEV}
}

func awaitHost(fd int, start time.Time) error {
	for time.Since(start) < portTimeout {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		unix.Poll(fds, 1000)
		if fds[0].Revents&unix.POLLHUP == 0 && fds[0].Revents&unix.POLLIN != 0 {
			return nil
		}
		if fds[0].Revents&unix.POLLHUP != 0 {
			time.Sleep(time.Millisecond)
		}
	}
	return &failure{"the host has not opened the port", unix.ETIMEDOUT}
}

// names lists a directory.
func names(dir string) []string {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	var all []string
	for buf := make([]byte, 8192); ; {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n <= 0 {
			return all
		}
		_, _, all = unix.ParseDirent(buf[:n], -1, all)
	}
}
