package handle

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

const (
	// terminateGrace is how long a supervisor whose start failed or was given
	// up may take to clean up before it is killed.
	terminateGrace = 5 * time.Second
	// killGrace is the same for a start that was killed: an engine that boots
	// is taken down in milliseconds, and completely, by its supervisor only.
	killGrace = time.Second
	// stopMargin is added to a stop's grace before an attached supervisor that
	// did not end is killed.
	stopMargin = 3 * time.Second
	// lastWords is how long to go on reading after the supervisor's death: its
	// messages are in the socket already, only a copy of the socket in some
	// other process could keep it open.
	lastWords = time.Second
)

// Sandbox is a handle on one supervisor. All methods are safe for concurrent use.
type Sandbox struct {
	name      string
	stateDir  string
	storedDir string // "" unless the sandbox is stored and this its owner
	owner     bool
	grace     time.Duration
	ready     chan struct{}
	done      chan struct{}
	started   time.Time
	pid       atomic.Int32

	cancelStart context.CancelCauseFunc

	mu       sync.Mutex
	phase    uint32 // StateStarting, StateRunning, StateStopped
	attached bool
	closing  bool // Close was called
	draining bool // Drain was called here
	killed   bool // we sent SIGKILL
	child    *launch.Child
	process  *launch.Process
	client   *control.Client
	startErr error
	outcome  Outcome
	last     *control.EndedEvent
	programs map[uint64]*Process
	nextID   uint64
	boot     chan error // the supervisor's answer, one
	onKilled func()     // after a kill of ours, before Done; may be nil
	undo     func()     // after a start that we gave up, before Ready; may be nil
	alias    string     // of a pool's: the name that its tenant has asked for
	heir     *Sandbox   // of a pool's: the tenant's handle, which it has become
	over     bool       // the supervisor ended, and there is no heir

	moved chan struct{} // closed when there is an heir; nil: never in a pool

	requests sync.WaitGroup // stops and drains on their way
}

func newSandbox(name, stateDir string, owner bool, grace time.Duration) *Sandbox {
	return &Sandbox{
		name: name, stateDir: stateDir, owner: owner, attached: owner, grace: grace,
		ready: make(chan struct{}), done: make(chan struct{}), started: time.Now(),
		phase: StateStarting, programs: map[uint64]*Process{}, boot: make(chan error, 1),
	}
}

var (
	errClosed = fault.New(fault.Closed, fault.NoStage, "the handle was closed")
	errKilled = fault.New(fault.Gone, fault.NoStage, "the sandbox was killed while it started")
)

// Start launches a supervisor and returns at once, in state starting. It takes
// ownership of the configuration's open mounts. prepare,
// unless nil, runs first and may take its time; killed, unless nil, after a
// SIGKILL, when the supervisor could not note its end itself; undo, unless nil, after
// a start that was given up, perhaps too late for the supervisor to know. It is not
// for a supervisor that crashed: what that has stored tells of the crash.
func Start(path string, cfg control.Config, timeout time.Duration, prepare func(context.Context) error, killed, undo func()) *Sandbox {
	s := newSandbox(cfg.Name, cfg.StateDir, true, cfg.StopGrace)
	s.onKilled, s.undo, s.storedDir = killed, undo, cfg.StoredDir
	if cfg.Pooled {
		s.moved = make(chan struct{})
	}
	logf(s.name, 0, "create")
	late := fault.New(fault.TimedOut, fault.StageEngine, "sandbox %q was not ready within %v", cfg.Name, timeout)
	s.begin(timeout, late, func(ctx context.Context) error {
		if prepare == nil {
			return nil
		}
		err := prepare(ctx)
		if err != nil {
			closeFiles(cfg.MountFiles)
		}
		return err
	}, func(ctx context.Context) { s.run(ctx, path, cfg) })
	return s
}

// begin runs prepare, unless nil, and then the life of the sandbox. Its start ends
// with the error late after the timeout.
func (s *Sandbox) begin(timeout time.Duration, late error, prepare func(context.Context) error, live func(context.Context)) {
	ctx, cancel := context.WithCancelCause(context.Background())
	s.cancelStart = cancel
	fault.Go("sandbox "+s.name, func() {
		defer cancel(nil)
		ctx, stop := context.WithTimeoutCause(ctx, timeout, late)
		defer stop()
		if prepare != nil {
			if err := prepare(ctx); err != nil {
				s.failStart(err)
				return
			}
		}
		live(ctx)
	})
}

// Ready is closed once the sandbox has started or failed to.
func (s *Sandbox) Ready() <-chan struct{} { return s.ready }

// Done is closed once the sandbox has ended and nothing of it is left, or, for a
// handle that does not own it, at Close.
func (s *Sandbox) Done() <-chan struct{} { return s.done }

// StartErr is why the start failed; valid once Ready is closed.
func (s *Sandbox) StartErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startErr
}

// Outcome is how the sandbox ended; valid once Done is closed.
func (s *Sandbox) Outcome() Outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outcome
}

// Name is the sandbox's name.
func (s *Sandbox) Name() string { return s.name }

// StateDir is the state root of the sandbox.
func (s *Sandbox) StateDir() string { return s.stateDir }

// Pid is the supervisor's process id, 0 while it is not known.
func (s *Sandbox) Pid() int32 { return s.pid.Load() }

// run is the life of an owned sandbox.
func (s *Sandbox) run(ctx context.Context, path string, cfg control.Config) {
	if !cfg.Pooled { // else its tenant's
		cfg.Metrics = reserveSlot(cfg)
	}
	child, err := launch.Start(ctx, path, cfg)
	closeFiles(cfg.MountFiles) // the supervisor has its own
	if err != nil {
		if child != nil { // it may have begun before it was killed
			s.sweep(child.Pid)
		}
	} else {
		err = s.bootChild(ctx, child, cfg.Detached)
	}
	if err != nil {
		freeSlot(cfg)
		if s.undo != nil && s.gaveUp(ctx) {
			s.undo()
		}
		s.failStart(err)
		return
	}
	logf(s.name, s.pid.Load(), "running")
	if s.outlived(child) {
		freeSlot(cfg)
		s.finish(child)
	}
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// bootChild waits for the supervisor's answer. On error the child is gone.
func (s *Sandbox) bootChild(ctx context.Context, child *launch.Child, detached bool) error {
	s.pid.Store(int32(child.Pid))
	client := control.NewClient(child.Control, s.event)
	failpoint.Point("launch.started")
	s.mu.Lock()
	s.child, s.process, s.client = child, child.Process, client
	s.mu.Unlock()

	var err error
	select {
	case err = <-s.boot:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-child.Process.Done():
		err = s.diedAtBoot(child)
	}
	if err == nil && s.nowRunning(!detached) {
		return nil
	}
	if err == nil {
		err = errClosed
	}
	s.terminate(child)
	client.Close()
	child.Release()
	s.sweep(int(s.pid.Load()))
	return err
}

// diedAtBoot is the error of a supervisor that ended without an answer, or with
// one that is still on its way to us.
func (s *Sandbox) diedAtBoot(child *launch.Child) error {
	s.drainEvents()
	select {
	case err := <-s.boot:
		if err != nil {
			return err
		}
	default:
	}
	return fault.New(fault.Boot, fault.StageEngine, "supervisor %s while booting%s", child.Process.Status(), child.StderrTail())
}

// drainEvents lets the reader finish after the supervisor's death.
func (s *Sandbox) drainEvents() {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	select {
	case <-client.Closed():
	case <-time.After(lastWords):
		client.Close()
		<-client.Closed()
	}
}

// gaveUp tells whether a start failed because it was cancelled, closed, killed or
// took too long, as opposed to the supervisor failing.
func (s *Sandbox) gaveUp(ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ctx.Err() != nil || s.closing || s.killed
}

// nowRunning marks the start's success; false when it was given up meanwhile.
func (s *Sandbox) nowRunning(attached bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || s.killed {
		return false
	}
	s.phase, s.attached = StateRunning, attached
	close(s.ready)
	return true
}

// terminate ends a supervisor that never became ready: it sees its watchdog
// close, cleans up, and is killed when it does not. Its record names no children
// yet, so whom it had is asked before.
func (s *Sandbox) terminate(child *launch.Child) {
	s.mu.Lock()
	grace := terminateGrace
	if s.killed {
		grace = killGrace
	}
	s.mu.Unlock()
	child.Watchdog.Close()
	child.Process.Signal(sigTerm)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-child.Process.Done():
	case <-timer.C:
		children := store.Children(child.Pid)
		child.Process.Kill()
		<-child.Process.Done()
		store.WaitGone(children)
	}
}

func (s *Sandbox) failStart(err error) {
	var e *fault.Error
	if !errors.As(err, &e) {
		err = fault.From(err)
	}
	logf(s.name, s.pid.Load(), "start failed: %v", err)
	s.mu.Lock()
	s.phase, s.startErr = StateStopped, err
	s.outcome = ended(CauseStartFailed)
	if s.killed {
		s.outcome.Cause = CauseKilled
	}
	s.mu.Unlock()
	s.endPrograms(CauseSandboxEnded)
	// In this order: who is woken by ready and finds it not done takes the start for
	// a success.
	close(s.done)
	close(s.ready)
}

// finish runs once the supervisor of a started sandbox is dead and reaped.
func (s *Sandbox) finish(child *launch.Child) {
	s.drainEvents()
	s.mu.Lock()
	clean := s.last != nil
	released := s.phase == StateStopped // a disarmed handle that was closed
	s.mu.Unlock()
	child.Release()
	if !clean {
		s.sweep(int(s.pid.Load()))
	}
	if !released {
		s.conclude(child.Process.Status())
	}
}

// conclude publishes the outcome and ends everything that waits.
func (s *Sandbox) conclude(status launch.Status) {
	s.mu.Lock()
	out := ended(CauseUnknown)
	switch {
	case s.last != nil:
		out.Cause, out.WallTime, out.Limits = s.last.Cause, s.last.Wall, s.last.Limits|LimitOf(s.last.Cause)
	case s.killed, status.Killed():
		out.Cause = CauseKilled
	case status.Known:
		out.Cause = CauseCrashed
	}
	if out.WallTime < 0 && s.owner {
		out.WallTime = time.Since(s.started)
	}
	s.phase, s.outcome = StateStopped, out
	requested := s.killed
	s.mu.Unlock()
	logf(s.name, s.pid.Load(), "ended: cause %d, %v", out.Cause, status)
	programs := CauseSandboxEnded
	if out.Cause == CauseMemoryLimit || out.Cause == CauseCPUTime {
		programs = out.Cause
	}
	s.endPrograms(programs)
	if requested && s.onKilled != nil {
		s.onKilled()
	}
	close(s.done)
}

// event handles what the supervisor says by itself, in the reader's goroutine.
func (s *Sandbox) event(m *control.Message) {
	s.mu.Lock()
	heir := s.heir
	s.mu.Unlock()
	if heir != nil {
		heir.event(m)
		return
	}
	switch m.Type {
	case control.Ready:
		s.answer(nil)
	case control.Failed:
		if m.Err == nil {
			m.Err = fault.New(fault.Boot, fault.StageEngine, "the supervisor gave no reason")
		}
		s.answer(m.Err)
	case control.Exited:
		var e control.ExitedEvent
		if m.Into(&e) == nil {
			s.programExited(e)
		}
	case control.Ended:
		var e control.EndedEvent
		if m.Into(&e) == nil {
			s.mu.Lock()
			s.last = &e
			s.mu.Unlock()
		}
	}
}

func (s *Sandbox) answer(err error) {
	select {
	case s.boot <- err:
	default: // answered already
	}
}
