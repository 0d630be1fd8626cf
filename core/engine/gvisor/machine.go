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

	"github.com/libmicrosandbox/microsandbox/core/cgroup"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// machine is one sentry, and its gofer where the root needs one.
type machine struct {
	id       string
	cwd      string
	log      func(format string, args ...any)
	receipt  []string
	pid      int // of the sentry
	gofer    int // 0: none
	rpc      *rpcPool
	state    *os.File // directory of the control socket
	launcher *os.File
	caps     *taskCapabilities
	memory   *memoryGuard
	lineage  *lineageLink
	group    atomic.Pointer[cgroup.Group] // nil: in none of its own
	confined atomic.Bool                  // the group holds all
	moving   sync.Mutex                   // held while processes are moved into it
	last     lastUsage

	starting sync.Mutex   // held while gVisor starts a program
	fresh    <-chan error // closed once the next program has limits of its own; nil at first

	done chan struct{}

	mu     sync.Mutex
	reaped bool // the pids may be somebody else's
	cause  engine.Cause
	ended  bool // cause is final
	closed sync.Once
	err    error // of Close
}

// rpcTimeout bounds calls that the sentry answers at once.
const rpcTimeout = 10 * time.Second

func newMachine(ctx context.Context, b *boot) (*machine, error) {
	cfg := b.cfg
	m := &machine{
		id: cfg.ID, cwd: b.root.cwd, log: cfg.Log, launcher: b.launcher, lineage: b.lineage.link, state: b.state, rpc: b.rpc,
		pid: b.children.sentry, gofer: b.children.gofer, caps: guestCapabilities(), done: make(chan struct{}),
	}
	go m.watch()
	fail := func(err error) (*machine, error) {
		m.Close()
		return nil, err
	}
	err := m.lineage.start(ctx)
	if err != nil {
		return fail(err)
	}
	if m.memory, err = newMemoryGuard(ctx, m, cfg.MemoryBytes); err != nil {
		return fail(err)
	}
	m.receipt = append([]string{
		"kernel: gVisor sentry (systrap), seccomp, no new privileges, empty chroot",
		"ids: " + b.ids.note,
		"network: none but loopback",
		"programs: killed with all that they started, resource limits (sentry); wall limits (supervisor)",
		limitsNote(cfg.Limits),
		fmt.Sprintf("overlay: at most %d bytes (size of the in-memory upper layer)", cfg.OverlayBytes),
	}, b.root.notes...)
	return m, nil
}

// watch closes done when the sentry has ended. It leaves the zombie to Close,
// so that the pid stays ours.
func (m *machine) watch() {
	status, err := engine.AwaitExit(m.pid)
	if g := m.group.Load(); g != nil && g.Killed() {
		m.setCause(engine.MemoryLimit)
	}
	if m.setCause(engine.Crashed) && err == nil {
		m.log("engine gvisor: the sentry has ended: %s", engine.ExitText(status))
	}
	close(m.done)
}

// setCause records why the machine ends; the first cause counts.
func (m *machine) setCause(c engine.Cause) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := !m.ended
	if first {
		m.cause, m.ended = c, true
	}
	return first
}

// Processes implements engine.Family.
func (m *machine) Processes() []int {
	if m.gofer > 0 {
		return []int{m.pid, m.gofer}
	}
	return []int{m.pid}
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
	if !m.reaped {
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
	m.reaped = true
	m.mu.Unlock()
	m.moving.Lock() // until then the sentry's pid is nobody else's
	err := errors.Join(reap(m.pid), endGofer(m.gofer))
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
		return m.signal(signalArgs{CID: m.id, Signo: int32(sig), Mode: toAll})
	}
	stop := signalArgs{CID: m.id, Signo: int32(unix.SIGSTOP), Mode: toAll}
	if err := m.signal(stop); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	var list []listedProcess
	if _, err := m.rpc.call(ctx, methodList, m.id, &list); err != nil {
		return m.rpcError(err, "list processes")
	}
	for _, p := range list {
		if p.PID == 1 {
			continue
		}
		// One that is gone already is no error.
		m.signal(signalArgs{CID: m.id, PID: p.PID, Signo: int32(unix.SIGKILL), Mode: toProcess})
	}
	// pid 1 was stopped with the others.
	return m.signal(signalArgs{CID: m.id, PID: 1, Signo: int32(unix.SIGCONT), Mode: toProcess})
}

func (m *machine) signal(args signalArgs) error {
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	_, err := m.rpc.call(ctx, methodSignal, &args, nil)
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
