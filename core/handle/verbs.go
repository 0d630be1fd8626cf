package handle

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/dir"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/launch"
)

const (
	sigTerm = syscall.SIGTERM
	sigKill = syscall.SIGKILL
)

func (s *Sandbox) errDone(verb string) error {
	return fault.New(fault.Done, fault.NoStage, "%s: sandbox %q has ended already", verb, s.name)
}

// connection returns the client of a sandbox that runs.
func (s *Sandbox) connection(verb string) (*control.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase == StateStopped:
		return nil, s.errDone(verb)
	case s.phase == StateStarting:
		return nil, fault.New(fault.State, fault.NoStage, "%s: sandbox %q is still starting: wait for MSB_EVENT_READY", verb, s.name)
	}
	return s.client, nil
}

// Kill ends the supervisor, and with it everything below, at once; one that is
// still starting within killGrace.
func (s *Sandbox) Kill() error {
	s.mu.Lock()
	if s.phase == StateStopped {
		s.mu.Unlock()
		return s.errDone("kill")
	}
	s.killed = true
	process, starting := s.process, s.phase == StateStarting
	s.mu.Unlock()
	logf(s.name, s.pid.Load(), "kill")
	if starting {
		s.cancelStart(errKilled) // which ends the process
		return nil
	}
	if err := process.Kill(); errors.Is(err, os.ErrProcessDone) {
		return s.errDone("kill")
	} else if err != nil {
		return fault.Wrap(err, fault.IO, fault.NoStage, "kill supervisor")
	}
	return nil
}

// Stop asks for TERM, grace, KILL and returns. A supervisor that does not end in
// time is killed. A negative grace is the sandbox's own.
func (s *Sandbox) Stop(grace time.Duration) error {
	if s.giveUpStart(errKilled) {
		return nil
	}
	client, err := s.connection("stop")
	if err != nil {
		return err
	}
	logf(s.name, s.pid.Load(), "stop, grace %v", grace)
	s.request(client, control.Stop, control.StopRequest{Grace: grace})
	if grace < 0 {
		grace = s.grace
	}
	s.escalate(max(grace, 0) + stopMargin)
	return nil
}

// giveUpStart cancels a start in progress.
func (s *Sandbox) giveUpStart(cause error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.phase != StateStarting {
		return false
	}
	s.closing = true
	s.cancelStart(cause)
	return true
}

// Drain refuses new programs and ends the sandbox when the running ones have
// ended, or after deadline (negative: never).
func (s *Sandbox) Drain(deadline time.Duration) error {
	client, err := s.connection("drain")
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.draining = true // a start after this call is refused, wherever the request is
	s.mu.Unlock()
	logf(s.name, s.pid.Load(), "drain, deadline %v", deadline)
	s.request(client, control.Drain, control.DrainRequest{Deadline: deadline})
	return nil
}

// request sends a message whose effect is seen in events. A lost one shows as
// the supervisor's death.
func (s *Sandbox) request(client *control.Client, t control.Type, body any) {
	s.requests.Add(1)
	fault.Go("request "+string(t), func() {
		defer s.requests.Done()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := client.Call(ctx, t, body, nil); err != nil {
			logf(s.name, s.pid.Load(), "%s: %v", t, err)
		}
	})
}

// Flush waits until the stops and drains that were requested have been answered
// or lost, 10 s at most. Only a program that is about to exit needs it.
func (s *Sandbox) Flush() { s.requests.Wait() }

// escalate kills the supervisor unless it has ended after a time.
func (s *Sandbox) escalate(after time.Duration) {
	fault.Go("escalate", func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-s.done:
		case <-timer.C:
			if s.Kill() == nil {
				logf(s.name, s.pid.Load(), "killed: it did not stop within %v", after)
			}
		}
	})
}

// Disarm gives up the ownership of the sandbox: from then on nothing of this
// process ends it. nil means that the living supervisor has acknowledged it.
func (s *Sandbox) Disarm(ctx context.Context) error {
	if !s.owner {
		return fault.New(fault.State, fault.NoStage, "disarm: this handle on %q does not own it", s.name)
	}
	return s.Detach(ctx)
}

// Detach is Disarm by anybody: the user's word over that of the program which
// made the sandbox.
func (s *Sandbox) Detach(ctx context.Context) error {
	client, err := s.connection("disarm")
	if err != nil {
		return err
	}
	if err := client.Call(ctx, control.Detach, nil, nil); err != nil {
		return err
	}
	s.mu.Lock()
	s.attached = false
	s.mu.Unlock()
	logf(s.name, s.pid.Load(), "disarmed")
	return nil
}

// Info asks the supervisor what it is and does.
func (s *Sandbox) Info(ctx context.Context) (control.InfoReply, error) {
	var reply control.InfoReply
	client, err := s.connection("info")
	if err != nil {
		return reply, err
	}
	err = client.Call(ctx, control.Info, nil, &reply)
	return reply, err
}

// Owner reports whether this handle owns the sandbox.
func (s *Sandbox) Owner() bool { return s.owner }

// Close gives the handle up. An attached sandbox of its owner is stopped, and
// killed when that takes too long; Done tells when it is gone. Any other sandbox
// lives on, and Done is closed at once. Never blocks; idempotent.
func (s *Sandbox) Close() {
	if s.giveUpStart(errClosed) {
		return
	}
	s.mu.Lock()
	if s.closing || s.phase == StateStopped {
		s.mu.Unlock()
		return
	}
	s.closing = true
	attached, client, child := s.attached, s.client, s.child
	s.mu.Unlock()
	logf(s.name, s.pid.Load(), "close")
	if !attached {
		s.release()
		return
	}
	failpoint.Point("close.begun")
	fault.Go("close", func() { s.closeAttached(client, child) })
}

// closeAttached ends the sandbox, unless somebody else has detached it.
func (s *Sandbox) closeAttached(client *control.Client, child *launch.Child) {
	limit := max(s.grace, 0) + stopMargin
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var reply control.StopReply
	err := client.Call(ctx, control.Stop, control.StopRequest{Grace: -1, IfAttached: true}, &reply)
	if err == nil && !reply.Ending {
		s.release()
		return
	}
	child.Watchdog.Close() // for one that does not read its socket but may read this
	select {
	case <-s.done:
	case <-ctx.Done():
		if s.Kill() == nil {
			logf(s.name, s.pid.Load(), "killed: it did not stop within %v", limit)
		}
	}
}

// release lets a sandbox live on without this handle. Our own child is still
// watched, so that it is reaped when it ends.
func (s *Sandbox) release() {
	s.mu.Lock()
	if s.phase == StateStopped {
		s.mu.Unlock()
		return
	}
	s.phase, s.outcome = StateStopped, ended(CauseUnknown)
	client, process := s.client, s.process
	s.mu.Unlock()
	fault.Go("release", func() {
		s.requests.Wait() // a stop or drain just asked for must not get lost
		client.Close()
		if s.owner {
			s.child.Watchdog.Close()
		} else {
			process.Release()
		}
	})
	s.endPrograms(CauseUnknown)
	close(s.done)
}

// Open connects to a living sandbox through its directory. pid and alive tell
// which process its record speaks of; killed as with Start.
func Open(ctx context.Context, name, stateDir string, d dir.Ref, alive func(pid int) bool, killed func()) (*Sandbox, error) {
	conn, pid, err := control.Dial(d)
	if err != nil {
		return nil, fault.Wrap(err, fault.Gone, fault.StageControl, "open sandbox "+name)
	}
	process, err := launch.OpenProcess(pid)
	if err != nil || !alive(pid) {
		conn.Close()
		if err == nil {
			process.Release()
		}
		return nil, fault.New(fault.Gone, fault.StageControl, "open sandbox %q: its supervisor is ending", name)
	}
	s := newSandbox(name, stateDir, false, 0)
	s.onKilled = killed
	s.pid.Store(int32(pid))
	s.process, s.client = process, control.NewClient(conn, s.event)
	s.nowRunning(false)
	fault.Go("sandbox "+name, func() {
		<-process.Done()
		s.drainEvents()
		s.mu.Lock()
		released, clean := s.phase == StateStopped, s.last != nil
		s.mu.Unlock()
		if released {
			return
		}
		if !clean { // its owner may be dead, too, or stopped
			s.sweep(int(s.pid.Load()))
		}
		s.conclude(process.Status())
	})
	if _, err := s.Info(ctx); err != nil {
		s.Close()
		if ctx.Err() != nil {
			err = fault.New(fault.TimedOut, fault.StageControl, "open sandbox %q: its supervisor, process %d, does not answer: "+
				"it is stopped or hangs; msb kill ends it, or a create that replaces it", name, pid)
		}
		return nil, err
	}
	return s, nil
}
