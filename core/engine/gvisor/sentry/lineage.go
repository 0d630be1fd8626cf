package sentry

import (
	"errors"
	"time"
	_ "unsafe" // for linkname

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/errors/linuxerr"
	"gvisor.dev/gvisor/pkg/fd"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/limits"
	"gvisor.dev/gvisor/pkg/sentry/seccheck"
	pb "gvisor.dev/gvisor/pkg/sentry/seccheck/points/points_go_proto"
	"gvisor.dev/gvisor/pkg/sync"
	_ "gvisor.dev/gvisor/runsc/boot" // defines defaultLimits

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
)

// lineage runs in the sentry and knows which processes each program has
// started: a process belongs to the program of the process that cloned it,
// whatever becomes of its parents, session and ids. It is attached to gVisor's
// trace points, which call it before a new process runs and when one ends, and
// takes commands from the supervisor over a socket.
//
// gVisor holds its set of tasks locked while it calls ExitNotifyParent: nothing
// here takes that lock while mu is held.
type lineage struct {
	seccheck.SinkDefaults
	fd     int
	limits *limits.LimitSet // as programs start with them; never handed out
	most   int              // tasks at once, pid 1 not counted; 0 is no limit

	mu       sync.Mutex
	programs map[int32]*family // by the program's pid, until it ends
	of       map[*kernel.ThreadGroup]*family
	refused  bool // most was met, and told

	turnedAway map[*kernel.Task]struct{} // one too many, perhaps not gone yet
}

// family is a program and all that it started.
type family struct {
	pid     int32               // the program's
	program *kernel.ThreadGroup // nil while unknown
	members map[*kernel.ThreadGroup]struct{}
	dying   bool          // was killed: starts no more processes
	over    bool          // the program has ended
	cpu     time.Duration // of members that have ended
	own     time.Duration // the program's own, once it has ended
	peak    uint64        // largest resident size of a member that has ended
	flags   uint64        // of wire.Ended

	foreground *kernel.ProcessGroup // of the program's terminal when it ended; nil: none
}

func init() {
	seccheck.RegisterSink(seccheck.SinkDesc{Name: wire.LineageName, New: newLineage})
}

// newLineage attaches itself to the trace points: gVisor finds them by names
// that the sentry does not register. What it returns has no points.
func newLineage(config map[string]any, endpoint *fd.FD) (seccheck.Sink, error) {
	l := &lineage{
		fd: endpoint.Release(), limits: copyDefaultLimits(),
		programs: map[int32]*family{}, of: map[*kernel.ThreadGroup]*family{},
		turnedAway: map[*kernel.Task]struct{}{},
	}
	if l.limits == nil {
		return nil, errors.New("gVisor's default limits are not set yet")
	}
	l.setLimits(config)
	l.renewLimits()
	tell := func() bool { return l.send(wire.Frame{Kind: wire.Stirred}) }
	stirred.tell.Store(&tell)
	seccheck.Global.AppendSink(l, []seccheck.PointReq{
		{Pt: seccheck.PointClone}, {Pt: seccheck.PointTaskExit}, {Pt: seccheck.PointExitNotifyParent},
	})
	go l.serve()
	return unattached{}, nil
}

type unattached struct{ seccheck.SinkDefaults }

func (unattached) Name() string { return wire.LineageName }
func (*lineage) Name() string   { return wire.LineageName }

// serve obeys the supervisor until it is gone, and the sentry with it.
func (l *lineage) serve() {
	var buf [wire.FrameSize]byte
	for {
		n, err := unix.Read(l.fd, buf[:])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n == 0:
			return
		case n != wire.FrameSize:
			continue
		}
		command := wire.Decode(buf)
		var refused uint64
		switch command.Kind {
		case wire.Kill:
			l.kill(command.PID)
		case wire.Forget:
			l.forget(command.PID)
		case wire.RenewLimits:
			l.renewLimits()
		case wire.Watch:
			if !arm() {
				refused = 1
			}
		}
		l.send(wire.Frame{Kind: wire.Done, A: command.A, B: refused})
	}
}

// send never blocks: it is called with gVisor's locks held. What a supervisor
// that does not read loses is the usage of programs.
func (l *lineage) send(f wire.Frame) bool {
	buf := f.Encode()
	return unix.Sendmsg(l.fd, buf[:], nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL) == nil
}

// familyOf returns the family of a running task, nil for that of pid 1. Only
// programs have no parent.
func (l *lineage) familyOf(t *kernel.Task) *family {
	tg := t.ThreadGroup()
	l.mu.Lock()
	f := l.of[tg]
	l.mu.Unlock()
	if f != nil || t.Parent() != nil || tg == t.Kernel().GlobalInit() {
		return f
	}
	pid := int32(t.Kernel().TaskSet().Root.IDOfThreadGroup(tg))
	l.mu.Lock()
	defer l.mu.Unlock()
	if f = l.of[tg]; f != nil {
		return f
	}
	if f = l.programs[pid]; f == nil || f.program != nil {
		f = l.found(pid)
	}
	f.program = tg
	l.join(f, tg)
	return f
}

// found makes the family of a program. Called with mu held.
func (l *lineage) found(pid int32) *family {
	f := &family{pid: pid, members: map[*kernel.ThreadGroup]struct{}{}}
	l.programs[pid] = f
	return f
}

// join adds a process to a family. Called with mu held.
func (l *lineage) join(f *family, tg *kernel.ThreadGroup) {
	f.members[tg] = struct{}{}
	l.of[tg] = f
}

// Clone is called when a task has made another, which does not run yet. An
// error ends the new one before it does.
func (l *lineage) Clone(ctx context.Context, _ seccheck.FieldSet, info *pb.CloneInfo) error {
	t, ok := ctx.(*kernel.Task)
	if !ok {
		return linuxerr.EAGAIN
	}
	child := t.Kernel().TaskSet().Root.TaskWithID(kernel.ThreadID(info.CreatedThreadId))
	if l.tooMany(t, child) {
		return linuxerr.EAGAIN
	}
	if info.Flags&linux.CLONE_THREAD != 0 {
		return nil
	}
	f := l.familyOf(t)
	if child == nil || f == nil || !child.RegisterOnDestroyAction(&reaped{l, child.ThreadGroup()}) {
		return linuxerr.EAGAIN
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.dying {
		return linuxerr.EAGAIN
	}
	l.join(f, child.ThreadGroup())
	return nil
}

// reaped removes a process whose end was not told: its parent traced it.
type reaped struct {
	l  *lineage
	tg *kernel.ThreadGroup
}

// TaskDestroyAction is called after the end of the task that led the process, without
// gVisor's locks.
func (r *reaped) TaskDestroyAction(context.Context) {
	leader := r.tg.Leader()
	if leader.ExitState() != kernel.TaskExitDead && leader.RegisterOnDestroyAction(r) {
		return // another thread has executed a program, and leads now
	}
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.l.leave(r.tg)
}

// TaskExit is called when a task begins to end and still has its memory.
func (l *lineage) TaskExit(ctx context.Context, _ seccheck.FieldSet, _ *pb.TaskExit) error {
	if t, ok := ctx.(*kernel.Task); ok {
		if f := l.familyOf(t); f != nil {
			peak := t.MaxRSS(linux.RUSAGE_SELF)
			var flags uint64
			if f.program == t.ThreadGroup() && overlayFull(t) {
				flags = wire.FlagOverlayFull
			}
			if filesFull(t) {
				flags |= wire.FlagFilesFull
			}
			foreground := foregroundOf(t.ThreadGroup())
			l.mu.Lock()
			f.peak = max(f.peak, peak)
			f.flags |= flags
			if f.program == t.ThreadGroup() {
				f.foreground = foreground
			}
			l.mu.Unlock()
		}
	}
	return nil
}

// ExitNotifyParent is called when the last task of a process has ended, and
// perhaps again.
func (l *lineage) ExitNotifyParent(ctx context.Context, _ seccheck.FieldSet, _ *pb.ExitNotifyParentInfo) error {
	if t, ok := ctx.(*kernel.Task); ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.leave(t.ThreadGroup())
	}
	return nil
}

// leave removes a process that has ended. The program's end and its usage are told
// with its own; of one that was killed, when nothing of it is left. Called with mu
// held.
func (l *lineage) leave(tg *kernel.ThreadGroup) {
	f := l.of[tg]
	if f == nil {
		return
	}
	delete(l.of, tg)
	delete(f.members, tg)
	used := cpuTime(tg)
	f.cpu += used
	switch {
	case f.program == tg:
		f.over, f.own = true, used
		if l.programs[f.pid] == f {
			delete(l.programs, f.pid)
		}
		if f.foreground != nil {
			go f.foreground.SendSignal(kernel.SignalInfoPriv(linux.SIGHUP)) // takes a lock that is held here
		}
	case !f.over || !f.dying:
		return
	}
	if f.dying && len(f.members) > 0 {
		return
	}
	all := f.cpu
	for living := range f.members {
		all += cpuTime(living)
	}
	l.send(wire.Frame{Kind: wire.Ended, PID: f.pid, A: uint64(all), B: uint64(f.own), C: f.peak, Flags: f.flags})
}

// foregroundOf returns what is in the foreground of a process's controlling terminal.
// When the process for which a terminal was made ends, that gets SIGHUP: Linux does
// so by itself, gVisor does not.
func foregroundOf(tg *kernel.ThreadGroup) *kernel.ProcessGroup {
	tty := tg.TTY()
	if tty == nil {
		return nil
	}
	group, err := tg.ForegroundProcessGroup(tty)
	if err != nil {
		return nil
	}
	return group
}

func cpuTime(tg *kernel.ThreadGroup) time.Duration {
	stats := tg.CPUStats()
	return stats.UserTime + stats.SysTime
}

// kill ends a program and all that it started. None of them gets a new process
// past Clone once dying is set. A program that has never started a process is
// unknown here, and stays so: the supervisor signals it itself.
func (l *lineage) kill(pid int32) {
	l.mu.Lock()
	f := l.programs[pid]
	if f == nil {
		f = l.found(pid)
	}
	f.dying = true
	members := make([]*kernel.ThreadGroup, 0, len(f.members))
	for tg := range f.members {
		members = append(members, tg)
	}
	l.mu.Unlock()
	for _, tg := range members {
		tg.SendSignal(kernel.SignalInfoPriv(linux.SIGKILL)) // one that is gone already is no error
	}
}

// forget drops what kill has noted about a pid whose program has ended.
func (l *lineage) forget(pid int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.programs[pid]; f != nil && f.program == nil {
		delete(l.programs, pid)
	}
}

// defaultLimits is the variable from which gVisor takes the limits of a program
// that it starts. All programs get the same object: one that lowers its own
// limits would lower those of all others.
//
//go:linkname defaultLimits gvisor.dev/gvisor/runsc/boot.defaults
var defaultLimits struct {
	mu  sync.Mutex
	set *limits.LimitSet
	err error
}

func copyDefaultLimits() *limits.LimitSet {
	defaultLimits.mu.Lock()
	defer defaultLimits.mu.Unlock()
	if defaultLimits.set == nil {
		return nil
	}
	return defaultLimits.set.GetCopy()
}

// renewLimits gives the next program limits of its own.
func (l *lineage) renewLimits() {
	defaultLimits.mu.Lock()
	defer defaultLimits.mu.Unlock()
	defaultLimits.set = l.limits.GetCopy()
}
