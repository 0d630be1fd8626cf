package runtime

import (
	"os"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/core/process"
)

const sigTerm = syscall.SIGTERM

// closeOrDeath is how long after the watchdog's end of file the owner's own end
// may be noticed: a dying process closes its files before its pidfd tells. It
// only decides between two names for the same end.
const closeOrDeath = 200 * time.Millisecond

// deathLimit is how long a process that has begun to exit may take for it.
const deathLimit = 10 * time.Second

func (s *supervisor) isAttached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.attached
}

// detach lets the sandbox live on without its owner. One whose end has been
// decided does not: to acknowledge would be a lie.
func (s *supervisor) detach() error {
	s.mu.Lock()
	select {
	case <-s.ending:
		s.mu.Unlock()
		return fault.New(fault.Done, fault.StageControl, "detach: sandbox %q is ending already", s.cfg.Name)
	default:
	}
	if s.waiting {
		s.mu.Unlock()
		return s.errWaiting("detach")
	}
	s.attached = false
	state := s.state
	s.mu.Unlock()
	err := s.record(state)
	if err == nil {
		if err = s.untie(); err != nil { // still the owner's: say so
			s.mu.Lock()
			s.attached = true
			s.mu.Unlock()
		}
	}
	failpoint.Point("detach.recorded")
	return err
}

// awaitOwner closes ownerGone, and ends an attached sandbox, at the owner's death.
func (s *supervisor) awaitOwner() {
	owner, err := launch.WatchProcess(s.cfg.OwnerPid)
	if err != nil || os.Getppid() != s.cfg.OwnerPid {
		close(s.ownerGone) // it died before we looked
	} else {
		go func() {
			<-owner.Done()
			close(s.ownerGone)
		}()
	}
	go func() {
		<-s.ownerGone
		if s.isAttached() {
			s.end(handle.CauseOwnerGone, -1)
		}
	}()
}

// watchPipe reads the watchdog: end of file is the owner's close or death, which
// a forked copy of the pipe's other end can hide, but the owner's pidfd cannot.
func (s *supervisor) watchPipe(pipe *os.File) {
	defer pipe.Close()
	buf := make([]byte, 1)
	for {
		n, err := pipe.Read(buf)
		if n == 1 && buf[0] == launch.DetachByte {
			s.detach()
			return
		}
		if err != nil {
			break
		}
	}
	if !s.isAttached() {
		return
	}
	limit := closeOrDeath
	if process.Exiting(s.cfg.OwnerPid) {
		limit = deathLimit
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-s.ownerGone:
		s.end(handle.CauseOwnerGone, -1)
	case <-s.ending:
	case <-timer.C:
		s.end(handle.CauseStopped, -1)
	}
}
