package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/sentry/kernel/auth"
	"gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/container"
	"gvisor.dev/gvisor/runsc/specutils"

	"github.com/libmicrosandbox/microsandbox/core/cgroup"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// machine is one sentry, and its gofer where the root needs one.
type machine struct {
	id       string
	cwd      string
	receipt  []string
	pid      int
	rpc      *rpcPool
	state    *os.File // directory of the control socket
	launcher *os.File
	caps     *auth.TaskCapabilities
	memory   *memoryGuard
	lineage  *lineageLink
	group    atomic.Pointer[cgroup.Group] // nil: in none of its own
	confined atomic.Bool                  // the group holds all
	moving   sync.Mutex                   // held while processes are moved into it
	last     lastUsage

	starting sync.Mutex   // held while gVisor starts a program
	fresh    <-chan error // closed once the next program has limits of its own; nil at first

	container *container.Container
	done      chan struct{}

	mu     sync.Mutex
	cause  engine.Cause
	ended  bool // cause is final
	closed sync.Once
	err    error // of Close
}

// rpcTimeout bounds calls that the sentry answers at once.
const rpcTimeout = 10 * time.Second

func newMachine(ctx context.Context, cfg engine.Config, p paths, root *rootFS, ids idMap,
	c *container.Container, launcher *os.File, lineage *lineageLink) (*machine, error) {
	m := &machine{
		id: cfg.ID, cwd: root.cwd, container: c, launcher: launcher, lineage: lineage, pid: c.SandboxPid(),
		done: make(chan struct{}),
	}
	go m.watch()
	fail := func(err error) (*machine, error) {
		m.Close()
		return nil, err
	}
	err := lineage.start(ctx)
	if err != nil {
		return fail(err)
	}
	if m.caps, err = specutils.Capabilities(false, capabilities()); err != nil {
		return fail(err)
	}
	if m.state, err = os.Open(p.state); err != nil {
		return fail(err)
	}
	m.rpc = &rpcPool{address: fmt.Sprintf("/proc/self/fd/%d/runsc-%s.sock", m.state.Fd(), cfg.ID)}
	if m.memory, err = newMemoryGuard(ctx, m, cfg.MemoryBytes); err != nil {
		return fail(err)
	}
	m.receipt = append([]string{
		"kernel: gVisor sentry (systrap), seccomp, no new privileges, empty chroot",
		"ids: " + ids.note,
		"network: none but loopback",
		"programs: killed with all that they started, resource limits (sentry); wall limits (supervisor)",
		limitsNote(cfg.Limits),
		fmt.Sprintf("overlay: at most %d bytes (size of the in-memory upper layer)", cfg.OverlayBytes),
	}, root.notes...)
	return m, nil
}

// watch closes done when the sentry has ended. It leaves the zombie to Close,
// so that the pid stays ours.
func (m *machine) watch() {
	for {
		err := unix.Waitid(unix.P_PID, m.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	if g := m.group.Load(); g != nil && g.Killed() {
		m.setCause(engine.MemoryLimit)
	}
	m.setCause(engine.Crashed)
	close(m.done)
}

// setCause records why the machine ends; the first cause counts.
func (m *machine) setCause(c engine.Cause) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.ended {
		m.cause, m.ended = c, true
	}
}

func (m *machine) Done() <-chan struct{} { return m.done }

func (m *machine) Cause() engine.Cause {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cause
}

// end kills the sentry for the given cause. Its processes and its gofer die
// with it.
func (m *machine) end(c engine.Cause) {
	m.setCause(c)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.container != nil {
		unix.Kill(m.pid, unix.SIGKILL) // a zombie at worst: Close reaps under the lock
	}
}

func (m *machine) Close() error {
	m.closed.Do(func() { m.err = m.close() })
	return m.err
}

func (m *machine) close() error {
	m.end(engine.Closed)
	<-m.done
	if m.memory != nil {
		m.memory.stop()
	}
	if m.rpc != nil {
		m.rpc.close()
	}
	m.mu.Lock()
	c := m.container
	m.container = nil
	m.mu.Unlock()
	m.moving.Lock() // until then the sentry's pid is nobody else's
	err := c.Destroy()
	m.moving.Unlock()
	m.launcher.Close()
	m.lineage.close()
	if m.state != nil {
		m.state.Close()
	}
	if err != nil {
		return fault.Wrap(err, fault.IO, fault.StageEngine, "gvisor: close")
	}
	return nil
}

// SignalAll signals every program. pid 1 blocks all signals, so only SIGKILL
// needs care: it must reach everything but pid 1, whose end would be that of
// the machine. Everything is stopped first, so that nothing forks meanwhile.
func (m *machine) SignalAll(sig syscall.Signal) error {
	if sig != unix.SIGKILL {
		return m.signal(boot.SignalArgs{CID: m.id, Signo: int32(sig), Mode: boot.DeliverToAllProcesses})
	}
	stop := boot.SignalArgs{CID: m.id, Signo: int32(unix.SIGSTOP), Mode: boot.DeliverToAllProcesses}
	if err := m.signal(stop); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	var list []*control.Process
	if _, err := m.rpc.call(ctx, boot.ContMgrProcesses, m.id, &list); err != nil {
		return m.rpcError(err, "list processes")
	}
	for _, p := range list {
		if p.PID == 1 {
			continue
		}
		// One that is gone already is no error.
		m.signal(boot.SignalArgs{CID: m.id, PID: int32(p.PID), Signo: int32(unix.SIGKILL), Mode: boot.DeliverToProcess})
	}
	// pid 1 was stopped with the others.
	return m.signal(boot.SignalArgs{CID: m.id, PID: 1, Signo: int32(unix.SIGCONT), Mode: boot.DeliverToProcess})
}

func (m *machine) signal(args boot.SignalArgs) error {
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	_, err := m.rpc.call(ctx, boot.ContMgrSignal, &args, nil)
	return m.rpcError(err, "signal")
}

// rpcError turns the failure of a call into an error of the machine: when the
// sentry is gone, that is what the caller needs to know.
func (m *machine) rpcError(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.TimedOut, fault.StageEngine, "gvisor: %s: timed out", what)
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Canceled, fault.StageEngine, "gvisor: %s: canceled", what)
	}
	if _, remote := err.(remoteError); !remote {
		select {
		case <-m.done:
			return fault.New(fault.Gone, fault.StageEngine, "gvisor: %s: the machine has ended", what)
		case <-time.After(100 * time.Millisecond):
			// A broken connection comes a moment before the end is seen.
		}
	}
	return fault.Wrap(err, fault.IO, fault.StageEngine, "gvisor: "+what)
}
