package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Child is a supervisor that has proved its exec.
type Child struct {
	Pid      int
	Process  *Process
	Control  *control.Conn
	Watchdog *os.File // write end; closing it tells that the owner is gone
	stderr   *os.File // memfd
}

// Start spawns msb with cfg and waits for its startup line until ctx ends. On
// error nothing is left but what the child has made: it has only its pid, or is nil
// when there never was one. The child gets the descriptors of this package only, an
// empty environment, / as its directory, a session of its own, and an empty
// signal mask.
func Start(ctx context.Context, path string, cfg control.Config) (*Child, error) {
	var files fdSet
	defer files.close()
	child := &Child{}
	startup, err := child.prepare(&files, cfg)
	if err != nil {
		child.discard()
		return nil, fault.Wrap(err, fault.IO, fault.StageLaunch, "prepare supervisor")
	}
	defer startup.Close()
	argv := supervisorArgs(cfg)
	pid, pidfd, err := spawn(path, argv, files.list)
	if err != nil {
		child.discard()
		return nil, spawnError(path, err)
	}
	files.close() // ours would keep the startup pipe open
	child.Pid, child.Process = pid, newProcess(pid, pidfd, ourChild)
	failpoint.Point("launch.spawned")
	line, err := readLine(ctx, startup)
	if err == nil {
		err = parseStartup(line, path, pid)
	} else {
		err = child.startupError(ctx, path, err)
	}
	if err != nil {
		child.Process.Kill()
		<-child.Process.Done()
		child.discard()
		return child, err
	}
	return child, nil
}

// prepare makes the child's descriptors in their order and our ends of them.
func (c *Child) prepare(files *fdSet, cfg control.Config) (startup *os.File, err error) {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/null", Err: err}
	}
	files.add(null)
	files.list = append(files.list, null)
	stderr, err := unix.MemfdCreate("msb-stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	c.stderr = os.NewFile(uintptr(stderr), "msb-stderr")
	files.list = append(files.list, stderr)
	conn, theirs, err := control.Pair()
	if err != nil {
		return nil, err
	}
	c.Control = conn
	files.add(theirs)
	data, err := json.Marshal(cfg)
	if err != nil {
		return nil, err
	}
	config, err := control.SealedMemfd("msb-config", data)
	if err != nil {
		return nil, err
	}
	files.add(config)
	if err := pipe(files, &c.Watchdog, false); err != nil {
		return nil, err
	}
	if err := pipe(files, &startup, true); err != nil {
		return nil, err
	}
	for _, f := range cfg.MountFiles {
		files.list = append(files.list, int(f.Fd()))
	}
	return startup, nil
}

// pipe makes a pipe; ours gets the read end if reader, the child the other one.
func pipe(files *fdSet, ours **os.File, reader bool) error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe", err)
	}
	mine, theirs := p[1], p[0]
	if reader {
		mine, theirs = p[0], p[1]
		if err := unix.SetNonblock(mine, true); err != nil { // so that a deadline works
			unix.Close(mine)
			unix.Close(theirs)
			return os.NewSyscallError("fcntl", err)
		}
	}
	*ours = os.NewFile(uintptr(mine), "pipe")
	files.add(theirs)
	return nil
}

// fdSet collects the child's descriptors: list in their order, owned to close.
type fdSet struct {
	list  []int
	owned []int
}

func (s *fdSet) add(fd int) {
	s.list = append(s.list, fd)
	s.owned = append(s.owned, fd)
}

func (s *fdSet) close() {
	control.CloseAll(s.owned)
	s.owned = nil
}

// discard closes what prepare made.
func (c *Child) discard() {
	for _, f := range []*os.File{c.Watchdog, c.stderr} {
		if f != nil {
			f.Close()
		}
	}
	if c.Control != nil {
		c.Control.Close()
	}
}

// spawn forks and execs. A child inherits the signal mask of the thread that
// forks it, and the library's threads have all signals blocked: the mask is
// emptied around the fork, but for SIGCHLD, which a Go program unblocks by itself.
// In that moment a handler of the host may run here, on a goroutine's stack: it is
// made large enough first. SysProcAttr without os.Process keeps Go's probing of
// pidfd support, which forks, out of the host.
func spawn(path string, argv []string, fds []int) (pid, pidfd int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	growStack()
	var mask, old unix.Sigset_t
	mask.Val[0] = 1 << (unix.SIGCHLD - 1)
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &mask, &old); err != nil {
		return 0, -1, os.NewSyscallError("sigmask", err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	pidfd = -1
	attr := &syscall.ProcAttr{
		Dir: "/",
		Env: []string{},
		Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd},
	}
	for _, fd := range fds {
		attr.Files = append(attr.Files, uintptr(fd))
	}
	if pid, err = syscall.ForkExec(path, argv, attr); err == syscall.EINVAL {
		// qemu's user emulation knows no CLONE_PIDFD. There a host that reaps every
		// child may be faster than pidfd_open: then the start has failed.
		attr.Sys.PidFD = nil
		pid, err = syscall.ForkExec(path, argv, attr)
	}
	if err == nil && pidfd < 0 {
		pidfd, err = unix.PidfdOpen(pid, 0)
	}
	return pid, pidfd, err
}

// handlerRoom is what a handler of the host has, in bytes: twice what Go gives to the
// handlers of its own programs. Go moves variables above 128 KiB to the heap.
const handlerRoom = 64 << 10

// growStack makes room below the present frame: a stack once grown stays so until
// the next garbage collection that finds it idle.
//
//go:noinline
func growStack() byte {
	var room [handlerRoom]byte
	return room[len(os.Args)&0xff]
}

// Why an executable cannot be started.
const (
	errMayNotRun    = syscall.EACCES
	errNotOfMachine = syscall.ENOEXEC
)

// readLine reads up to the first newline.
func readLine(ctx context.Context, r *os.File) ([]byte, error) {
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var line []byte
	buf := make([]byte, maxStartup)
	for {
		n, err := r.Read(buf)
		line = append(line, buf[:n]...)
		for i, b := range line {
			if b == '\n' {
				return line[:i], nil
			}
		}
		if len(line) > maxStartup {
			return line, nil // parseStartup refuses and quotes it
		}
		if err != nil {
			if errors.Is(err, io.EOF) && len(line) > 0 {
				return line, nil
			}
			return nil, err
		}
	}
}

func (c *Child) stderrTail() string {
	const most = 240
	st, err := c.stderr.Stat()
	if err != nil || st.Size() == 0 {
		return ""
	}
	buf := make([]byte, most)
	n, _ := c.stderr.ReadAt(buf, max(st.Size()-most, 0))
	return fmt.Sprintf(": stderr ends with %q", buf[:n])
}
