package runtime

import (
	"time"

	"github.com/libmicrosandbox/microsandbox/core/handle"
)

// startLimits starts the clocks that end a sandbox by themselves.
func (s *supervisor) startLimits() {
	go s.limitCPUTime()
	if s.cfg.MaxDuration > 0 {
		time.AfterFunc(s.cfg.MaxDuration, func() { s.end(handle.CauseMaxDuration, -1) })
	}
	if s.cfg.IdleTimeout > 0 {
		s.mu.Lock()
		s.idle = time.AfterFunc(s.cfg.IdleTimeout, s.idleExpired)
		s.mu.Unlock()
	}
}

// idleExpired ends the sandbox, unless a program has started in the meantime.
func (s *supervisor) idleExpired() {
	s.mu.Lock()
	busy := len(s.programs) > 0
	s.mu.Unlock()
	if !busy {
		s.end(handle.CauseIdleTimeout, -1)
	}
}

// active notes a request: the idle time starts again.
func (s *supervisor) active() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noticeIdle()
}

// noticeIdle lets the idle clock run while no program does. Called with mu held.
func (s *supervisor) noticeIdle() {
	switch {
	case s.idle == nil:
	case len(s.programs) > 0:
		s.idle.Stop()
	default:
		s.idle.Reset(s.cfg.IdleTimeout)
	}
}
