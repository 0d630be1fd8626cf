package runtime

import (
	"context"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/disklock"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/logs"
	"github.com/libmicrosandbox/microsandbox/core/metrics"
	"github.com/libmicrosandbox/microsandbox/core/process"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// supervisor is the state of the process. mu guards what is below it and is held
// for short steps only.
type supervisor struct {
	cfg     control.Config
	created time.Time
	root    *store.Root
	claim   *store.Claim
	stored  *stored         // nil: a temporary sandbox
	slot    *metrics.Writer // nil: no metrics
	files   []*os.File      // of the mounts, until they are checked
	locks   disklock.Set    // of the images, until this process ends
	log     *logs.Writer    // nil until the name is claimed
	logging tally           // streams that go to the log
	engine  engine.Engine
	machine engine.Machine
	system  // what only this operating system has

	adopting sync.Mutex     // held while the sandbox changes hands, and while it ends
	sampling sync.WaitGroup // the writer of metrics
	owner    *client        // set before anybody is served

	ending    chan struct{} // closed when the end has been decided
	ownerGone chan struct{} // closed when the owner has ended

	mu       sync.Mutex
	state    uint32 // handle.State*
	attached bool
	waiting  bool          // in a pool, for a tenant
	cause    uint32        // once ending is closed
	grace    time.Duration // once ending is closed
	programs map[*program]struct{}
	numbered uint64        // programs so far
	empty    chan struct{} // closed when a drain or stop finds no program left
	clients  map[*client]struct{}
	draining bool
	idle     *time.Timer // nil: no idle timeout
	limits   uint32      // MSB_LIMIT_* that ended programs have met
}

func newSupervisor() *supervisor {
	return &supervisor{
		created: time.Now(), state: handle.StateStarting, attached: true,
		ending: make(chan struct{}), ownerGone: make(chan struct{}), empty: make(chan struct{}),
		programs: map[*program]struct{}{}, clients: map[*client]struct{}{},
	}
}

// run boots, serves, and ends.
func (s *supervisor) run(conn *control.Conn, engines []engine.Engine) int {
	s.waiting = s.cfg.Pooled
	s.watch()
	if err := s.boot(engines); err != nil {
		s.reportFailure(conn, err)
		return exitFailed
	}
	listener, err := control.Listen(s.claim.DirFD())
	if err == nil && s.cfg.Pooled {
		err = s.warm()
	}
	if err == nil {
		err = s.record(handle.StateRunning)
	}
	if err == nil && s.cfg.Detached {
		err = s.detach() // first: the owner may exit as soon as it knows
	}
	if err != nil {
		s.machine.Close()
		s.removeGroup()
		s.closeLog("boot failed: %v", err)
		s.stored.failed()
		s.unclaim()
		s.reportFailure(conn, fault.Wrap(err, fault.IO, fault.StageState, "state of sandbox "+s.cfg.Name))
		return exitFailed
	}
	s.owner = s.newClient(conn)
	s.owner.serve()
	if !s.cfg.Pooled {
		s.startLimits()
	}
	failpoint.Point("boot.recorded")
	s.owner.post(control.Ready, nil)
	failpoint.Point("boot.ready")
	s.log.Printf("sandbox started: engine %s, supervisor %d", s.engine.Name(), os.Getpid())
	go s.accept(listener)
	go s.watchLock(s.claim)
	if !s.cfg.Pooled {
		s.goSample()
	}
	confined := s.confineLater()
	swept := s.sweepOthers()
	time.AfterFunc(trimDelay, debug.FreeOSMemory)

	select {
	case <-s.ending:
	case <-s.machine.Done():
		s.end(machineCause(s.machine.Cause()), 0)
	}
	failpoint.Point("end.decided")
	s.adopting.Lock() // who comes now is told that it ends
	s.adopting.Unlock()
	s.shutdown()
	<-confined
	s.removeGroup()
	s.sampling.Wait()
	s.releaseSlot()
	failpoint.Point("end.machine")
	listener.Close()
	s.closeLog("sandbox ended: %s", causeText(s.cause))
	s.stored.ended(s.cause)
	s.unclaim()
	failpoint.Point("end.removed")
	s.farewell()
	select {
	case <-swept: // promised to the owner; a short life ends before it
	case <-s.ownerGone:
	}
	return exitEnded
}

// boot claims the name and boots the engine. On error nothing is left. A stop
// that comes meanwhile, the owner's death too, ends it.
func (s *supervisor) boot(engines []engine.Engine) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), s.cfg.BootTimeout,
		fault.New(fault.TimedOut, fault.StageEngine, "the engine did not boot within %v", s.cfg.BootTimeout))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watching := make(chan struct{})
	defer close(watching)
	go func() {
		select {
		case <-s.ending:
			stop(fault.New(fault.Canceled, fault.StageEngine, "stopped while booting"))
		case <-watching:
		}
	}()

	var err error
	if s.engine, err = s.chooseEngine(ctx, engines); err != nil {
		return err
	}
	if s.root, err = store.OpenRoot(s.cfg.StateDir); err != nil {
		return err
	}
	if e, ok := s.engine.(engine.Beginner); ok {
		e.Begin(s.cfg.ID, s.root.Dir())
		defer e.Abandon() // nothing once it boots
	}
	if s.claim, err = s.root.Claim(s.newRecord()); err != nil {
		return err
	}
	if s.stored, err = openStored(&s.cfg, s.created); err != nil {
		s.unclaim()
		return err
	}
	if err = s.openLog(); err != nil {
		s.stored.failed()
		s.unclaim()
		return err
	}
	s.claimSlot()
	failpoint.Point("boot.claimed")
	if err = s.bootConfined(ctx); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		} else {
			err = fault.Wrap(err, fault.Boot, fault.StageEngine, "engine "+s.engine.Name())
		}
		s.closeLog("boot failed: %v", err)
		s.stored.failed()
		s.unclaim()
		return err
	}
	failpoint.Point("boot.engine")
	return nil
}

// bootConfined boots the engine. What needs a control group has it before the first
// program.
func (s *supervisor) bootConfined(ctx context.Context) error {
	if err := s.bootEngine(ctx); err != nil {
		return err
	}
	if s.cfg.Limits.CPUPermille == 0 && s.cfg.Limits.CPUWeight == 0 {
		return nil
	}
	err := s.confine()
	if err != nil {
		s.machine.Close()
	}
	return err
}

func (s *supervisor) newRecord() store.Record {
	self, _ := process.Self()
	owner, _ := process.Of(s.cfg.OwnerPid)
	return store.Record{
		Name: s.cfg.Name, ID: s.cfg.ID, State: handle.StateStarting, CreatedMS: s.created.UnixMilli(), Engine: s.engine.Name(),
		Supervisor: self, Owner: owner,
		MemoryBytes: s.cfg.MemoryBytes, OverlayBytes: s.cfg.OverlayBytes,
		Labels: s.cfg.Labels, Stored: s.cfg.Stored, Pooled: s.cfg.Pooled,
	}
}

// record writes down the state, and whom to wait for should we die without a word.
func (s *supervisor) record(state uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	attached := s.attached
	if s.claim == nil {
		return nil // given up already: there is nobody to read it
	}
	return s.claim.Update(func(r *store.Record) {
		r.State = state
		if r.Children == nil {
			r.Children = s.children()
		}
		if !attached {
			r.Owner = store.Process{}
		}
	})
}

// children are whom to wait for should this process die without a word. The kernel is
// asked only where the engine does not know: each thread that is looked at in /proc has
// to be taken out of the kernel's cache of names when it ends, and whoever reaps this
// process spins until that is done, with other load for 15 ms and more.
func (s *supervisor) children() []store.Process {
	family, ok := s.machine.(engine.Family)
	if !ok {
		return store.Children(os.Getpid())
	}
	out := []store.Process{}
	for _, pid := range family.Processes() {
		if p, err := process.Of(pid); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func (s *supervisor) unclaim() {
	s.mu.Lock()
	claim := s.claim
	s.claim = nil
	s.mu.Unlock()
	if claim != nil {
		claim.Remove()
	}
	s.root.Close()
}

// end decides that and how the sandbox ends. The first decision stays.
func (s *supervisor) end(cause uint32, grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ending:
		return
	default:
	}
	if grace < 0 {
		grace = max(s.cfg.StopGrace, 0)
	}
	s.cause, s.grace = cause, grace
	close(s.ending)
}

// drain refuses new programs and ends once none is left, or at the deadline.
func (s *supervisor) drain(deadline time.Duration) {
	s.mu.Lock()
	first := !s.draining
	s.draining = true
	s.noticeEmpty()
	s.mu.Unlock()
	if first {
		s.log.Printf("drain: no new programs are started")
		s.record(handle.StateDraining)
		failpoint.Point("drain.begun")
		go func() {
			select {
			case <-s.empty:
				s.end(handle.CauseDrained, 0)
			case <-s.ending:
			}
		}()
	}
	if deadline >= 0 {
		time.AfterFunc(deadline, func() { s.end(handle.CauseDrained, -1) })
	}
}

// noticeEmpty closes empty when no program is left and none can come, and starts
// the idle time when one can. Called with mu held.
func (s *supervisor) noticeEmpty() {
	s.noticeIdle()
	if len(s.programs) > 0 || !s.draining {
		return
	}
	select {
	case <-s.empty:
	default:
		close(s.empty)
	}
}

// shutdown gives programs their grace and closes the machine.
func (s *supervisor) shutdown() {
	s.mu.Lock()
	s.draining = true
	s.noticeEmpty()
	grace := s.grace
	s.mu.Unlock()
	if grace > 0 {
		select {
		case <-s.empty: // nobody to be asked
		default:
			go s.machine.SignalAll(sigTerm) // a stopped engine does not answer
			timer := time.NewTimer(grace)
			select {
			case <-s.empty:
			case <-s.machine.Done():
			case <-timer.C:
			}
			timer.Stop()
		}
	}
	s.machine.Close()
	// The waiters of all programs return now; their last events come before ours.
	select {
	case <-s.empty:
	case <-time.After(5 * time.Second):
	}
	if c := s.machine.Cause(); c != engine.Closed {
		s.mu.Lock()
		s.cause = machineCause(c)
		s.mu.Unlock()
	}
}

func machineCause(c engine.Cause) uint32 {
	switch c {
	case engine.MemoryLimit:
		return handle.CauseMemoryLimit
	case engine.Crashed:
		return handle.CauseCrashed
	}
	return handle.CauseStopped
}

// trimDelay is how long after its start a supervisor that lives on gives back the
// memory that its boot has left.
const trimDelay = 5 * time.Second

// sweepDelay is how long after its start a sandbox sweeps for others.
const sweepDelay = 250 * time.Millisecond

// sweepOthers takes away what sandboxes of the same state root left that were dead
// when this one began, unless somebody else has meanwhile. The channel is closed once
// it has.
func (s *supervisor) sweepOthers() <-chan struct{} {
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		select { // the start belongs to the first program
		case <-time.After(sweepDelay):
		case <-s.ending:
		}
		root, err := store.OpenExistingRoot(s.cfg.StateDir) // ours is closed at the end
		if err != nil || root == nil {
			return
		}
		defer root.Close()
		if root.SweptSince(s.created) {
			return
		}
		begun := time.Now()
		root.SweepAll()
		root.KillWedged(control.Ping)
		handle.SweepMetrics(s.cfg.StateDir)
		root.NoteSweep(begun)
	}()
	return swept
}

// reportFailure tells the owner why there will be no sandbox.
func (s *supervisor) reportFailure(conn *control.Conn, err error) {
	m, merr := control.NewMessage(control.Failed, 0, nil)
	if merr != nil {
		return
	}
	m.Err = fault.From(err)
	conn.SetDeadline(time.Now().Add(time.Second))
	conn.Send(m)
	conn.Close()
}
