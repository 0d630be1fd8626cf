package pid1

import (
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// failure is a step of the configuration that did not work.
type failure struct {
	what  string
	errno unix.Errno
}

func (f *failure) Error() string { return f.what + ": " + f.errno.Error() }

// step names what failed; nil stays nil.
func step(err error, what string) error {
	if err == nil {
		return nil
	}
	if f, ok := err.(*failure); ok {
		return f
	}
	return &failure{what, unix.Errno(errnoOf(err))}
}

// configure serves KindConfigure. One that fails leaves a machine that is of no use.
func (a *Agent) configure(id uint32, payload []byte) error {
	m, err := wire.DecodeConfig(payload)
	if err != nil {
		return err
	}
	if a.configured {
		a.refuse(id, unix.EALREADY, stageRoot, "it is configured")
		return nil
	}
	err = a.apply(m)
	if f, ok := err.(*failure); ok {
		a.refuse(id, f.errno, stageRoot, f.what)
		return nil
	}
	a.configured = true
	a.reply(id, nil)
	return nil
}

func (a *Agent) apply(m *wire.Config) error {
	runtime.LockOSThread()
	old := unix.Umask(0)
	defer unix.Umask(old)
	if err := a.makeRoot(m); err != nil {
		return err
	}
	what, err := a.renewNow(m.Renewal)
	if err != nil {
		return step(err, what)
	}
	a.cwd = m.Cwd
	if a.cwd == "" {
		a.cwd = "/"
	}
	if err := loopbackUp(); err != nil {
		a.log("loopback: " + err.Error())
	}
	if a.files, err = raiseFiles(uint64(m.OpenFiles)); err != nil {
		return step(err, "limit of open files")
	}
	if fd, err := unix.Open("/dev/shm", unix.O_PATH|unix.O_CLOEXEC, 0); err == nil {
		a.shm = fd
	}
	if m.Processes > 0 {
		if err := a.kill.limit(m.Processes); err != nil {
			return step(err, "limit of processes, which needs the control group pids")
		}
	}
	return step(confine(m.Capabilities), "capabilities")
}

// raiseFiles gives us descriptors for the streams of all programs, and returns the
// hard limit of these: most, or the usual one where that is 0.
func raiseFiles(most uint64) (uint64, error) {
	if most == 0 {
		most = hardFiles
	}
	const enough = 8*wire.MaxPrograms + 1024
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	had := limit.Max
	limit = unix.Rlimit{Cur: max(limit.Cur, enough), Max: max(limit.Max, most, enough)}
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	if err == unix.EPERM { // not of the machine's root: a test
		return min(had, most), nil
	}
	return most, err
}

// confine bounds this thread, from which all programs are started: they can have
// no capability but these, and gain none by executing a file.
func confine(capabilities uint64) error {
	for n := uintptr(0); n < 64; n++ {
		if capabilities&(1<<n) != 0 {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, n, 0, 0, 0)
		if err == unix.EINVAL && n > 0 { // beyond the last that the kernel knows
			break
		}
		if err != nil {
			return err
		}
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// loopbackUp makes 127.0.0.1 work.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)
}

// fdPath is a path to an open file.
func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
