package gvisor

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine/idmap"
)

// The engine's processes are started as gVisor's own runsc starts them: in namespaces
// of their own, as root of a user namespace that maps the ids chosen for the sandbox.
// Both give up nearly all capabilities before they listen to anybody. They die with
// the supervisor; what they start dies with them, since each is init of its own
// process ids.
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// self is this binary, whatever became of its file.
const self = "/proc/self/exe"

// fork executes this binary anew. files become its descriptors, the first as 0.
func fork(argv []string, ids idMap, files []*os.File) (int, error) {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		fds[i] = f.Fd()
	}
	uids, gids := ids.system()
	// The child's death signal comes when the thread that forked ends: no goroutine
	// here ends while it is locked to one.
	defer runtime.KeepAlive(files)
	return syscall.ForkExec(self, argv, &syscall.ProcAttr{
		Env: []string{}, Files: fds,
		Sys: &syscall.SysProcAttr{
			Setsid: true, Pdeathsig: unix.SIGKILL, Cloneflags: namespaces,
			UidMappings: uids, GidMappings: gids,
			// Root's groups own devices and more. An unprivileged caller's cannot be given up.
			GidMappingsEnableSetgroups: idmap.DropsGroups(), Credential: &syscall.Credential{},
		},
	})
}

// children are the engine's processes while a machine boots.
type children struct {
	mu            sync.Mutex
	sentry, gofer int // 0: none
	killed        bool
}

// add notes a process; one that comes too late is killed.
func (c *children) add(at *int, pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*at = pid
	if c.killed {
		unix.Kill(pid, unix.SIGKILL)
	}
}

// kill ends the processes, now and those that come. A child's pid cannot be reused
// before we have waited for it.
func (c *children) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	for _, pid := range []int{c.sentry, c.gofer} {
		if pid > 0 {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}

// end kills the processes and waits for them.
func (c *children) end() {
	c.kill()
	reap(c.sentry)
	reap(c.gofer)
}

// reap waits for a child's end; 0 is none.
func reap(pid int) error {
	for pid > 0 {
		_, err := unix.Wait4(pid, nil, 0, nil)
		if err != unix.EINTR {
			return os.NewSyscallError("wait4", err)
		}
	}
	return nil
}

// endGofer ends a gofer whose sentry has ended. It would do so by itself.
func endGofer(pid int) error {
	if pid > 0 {
		unix.Kill(pid, unix.SIGKILL)
	}
	return reap(pid)
}

// attending is a sentry that is started and waits for its orders.
type attending struct {
	id      string
	ids     idMap
	orders  *os.File      // our end
	ring    *os.File      // both have it: see pinRing; nil: none
	started chan struct{} // closed once the fields below are valid
	pid     int
	err     error
}

// attend starts a sentry, which needs some milliseconds before it can do anything.
// under is a directory above the machine's, for its command line.
func attend(id, under string, ids idMap) (*attending, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	a := &attending{id: id, ids: ids, orders: os.NewFile(uintptr(fds[0]), "orders"), ring: pinRing(), started: make(chan struct{})}
	theirs := os.NewFile(uintptr(fds[1]), "orders")
	go func() {
		defer close(a.started)
		defer theirs.Close()
		unlockMemory()
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			a.err = err
			return
		}
		defer null.Close()
		argv := []string{wire.SentryName, wire.AttendCommand, "--under=" + under + "/", id}
		files := []*os.File{null, null, null, wire.OrdersFD: theirs}
		if a.ring != nil {
			files = append(files, a.ring) // cannot be sent later
		}
		a.pid, a.err = fork(argv, ids, files)
		if a.err != nil {
			a.err = fmt.Errorf("start the sentry: %w", a.err)
		}
	}()
	return a, nil
}

// give sends the orders, after which the sentry is c's.
func (a *attending) give(c *children, o wire.Orders, files []*os.File) error {
	<-a.started
	defer a.orders.Close()
	if a.err != nil {
		return a.err
	}
	c.add(&c.sentry, a.pid)
	err := wire.Send(int(a.orders.Fd()), o, files)
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		err = errors.New("the sentry has ended before it began")
	}
	return err
}

// abandon ends a sentry that gets no orders.
func (a *attending) abandon() {
	<-a.started
	closeAll([]*os.File{a.orders, a.ring})
	if a.err == nil {
		unix.Kill(a.pid, unix.SIGKILL)
		reap(a.pid)
	}
}

// unlockMemory lets the sentry lock memory for a moment, in which it faults in a
// large part at once; without privileges it does without.
func unlockMemory() {
	all := unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	unix.Setrlimit(unix.RLIMIT_MEMLOCK, &all)
}
