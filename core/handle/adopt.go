package handle

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/launch"
)

const (
	// adoptLimit bounds the answer of a supervisor that waits in a pool. It takes
	// about a millisecond; one that does not answer is killed.
	adoptLimit = 2 * time.Second
	// adoptAttempts bounds how many sandboxes of a pool may turn out to be dead
	// before the one that wants one is told so.
	adoptAttempts = 16
)

// Source hands out sandboxes that wait in a pool.
type Source interface {
	// Get returns one that is ready, and waits for it until ctx ends.
	Get(ctx context.Context) (*Sandbox, error)
	// Put takes one back that nobody has used.
	Put(*Sandbox)
}

// Take returns at once a sandbox in state starting that becomes the next one of a
// source, under the name, with the labels and times of cfg. prepare as in Start.
func Take(cfg control.Config, timeout time.Duration, prepare func(context.Context) error, from Source) *Sandbox {
	s := newSandbox(cfg.Name, cfg.StateDir, true, cfg.StopGrace)
	logf(s.name, 0, "take")
	late := fault.New(fault.TimedOut, fault.StageEngine, "sandbox %q: the pool had none within %v", cfg.Name, timeout)
	s.begin(timeout, late, prepare, func(ctx context.Context) { s.live(ctx, cfg, from) })
	return s
}

// live is the life of a sandbox that comes from a pool.
func (s *Sandbox) live(ctx context.Context, cfg control.Config, from Source) {
	cfg.Metrics = reserveSlot(cfg)
	child, err := s.adoptOne(ctx, cfg, from)
	if err != nil {
		freeSlot(cfg)
		s.failStart(err)
		return
	}
	failpoint.Point("take.adopted")
	if !s.nowRunning(!cfg.Detached) {
		s.terminate(child)
		s.client.Close()
		child.Release()
		s.sweep(child.Pid)
		freeSlot(cfg)
		s.failStart(errClosed)
		return
	}
	logf(s.name, s.pid.Load(), "running, from a pool")
	<-child.Process.Done()
	freeSlot(cfg)
	s.finish(child)
}

// adoptOne makes s what the first living sandbox of the source was.
func (s *Sandbox) adoptOne(ctx context.Context, cfg control.Config, from Source) (*launch.Child, error) {
	var err error
	for range adoptAttempts {
		var member *Sandbox
		if member, err = from.Get(ctx); err != nil {
			return nil, err
		}
		err = member.adopt(ctx, cfg)
		if err == nil {
			if child := s.inherit(member); child != nil {
				return child, nil
			}
			err = fault.New(fault.Gone, fault.StageControl, "the sandbox of the pool ended when it was taken")
		} else if refused(err) {
			from.Put(member)
			return nil, err
		}
		// Nobody knows how far it came.
		logf(member.name, member.pid.Load(), "dropped from its pool: %v", err)
		member.Kill()
		<-member.Done()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
	}
	return nil, err
}

// refused tells whether a living supervisor has said no, and waits on.
func refused(err error) bool {
	var e *fault.Error
	return errors.As(err, &e) && slices.Contains([]fault.Code{fault.Exists, fault.Invalid, fault.Permission}, e.Code)
}

// adopt asks the supervisor to become the tenant's.
func (s *Sandbox) adopt(ctx context.Context, cfg control.Config) error {
	s.mu.Lock()
	s.alias = cfg.Name // from here on it may be found under either name
	s.mu.Unlock()
	client, err := s.connection("take")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, adoptLimit,
		fault.New(fault.Gone, fault.StageControl, "the sandbox in the pool did not answer within %v", adoptLimit))
	defer cancel()
	return client.Call(ctx, control.Adopt, control.AdoptRequest{
		Name: cfg.Name, Labels: cfg.Labels, IdleTimeout: cfg.IdleTimeout, MaxDuration: cfg.MaxDuration,
		Detached: cfg.Detached, Metrics: cfg.Metrics,
	}, nil)
}

// inherit moves what member is to s, which gets its events from now on; nil when it
// has just ended. member lives on as a shadow: its Done is that of s.
func (s *Sandbox) inherit(member *Sandbox) *launch.Child {
	member.mu.Lock()
	defer member.mu.Unlock()
	if member.over || member.phase != StateRunning {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.child, s.process, s.client, s.last = member.child, member.process, member.client, member.last
	s.pid.Store(member.pid.Load())
	member.heir = s
	close(member.moved)
	return s.child
}

// outlived waits until the supervisor has ended; false when somebody else takes care
// of it, whose sandbox is gone now.
func (s *Sandbox) outlived(child *launch.Child) bool {
	select {
	case <-child.Process.Done():
	case <-s.moved:
	}
	s.mu.Lock()
	heir := s.heir
	s.over = heir == nil
	s.mu.Unlock()
	if heir == nil {
		return true
	}
	<-heir.done
	s.mu.Lock()
	s.phase, s.outcome = StateStopped, ended(CauseUnknown)
	s.mu.Unlock()
	close(s.done)
	return false
}

// names are those under which something of the sandbox may lie.
func (s *Sandbox) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alias == "" {
		return []string{s.name}
	}
	return []string{s.name, s.alias}
}
