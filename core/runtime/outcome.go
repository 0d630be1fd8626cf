package runtime

import (
	"math"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/handle"
)

// limitWall kills a program and all that it started when its wall limit has
// passed. stop ends that.
func (p *program) limitWall(limit time.Duration, process engine.Process) (stop func()) {
	if limit <= 0 {
		return func() {}
	}
	timer := time.AfterFunc(limit, func() {
		p.mu.Lock()
		p.expired = !p.kill && !p.flooded
		p.mu.Unlock()
		process.Signal(syscall.SIGKILL) // fails only when it has ended already
	})
	return func() { timer.Stop() }
}

// Numbers of Linux, which limits and outcomes have on every host.
const (
	rlimitCPU   = 0
	rlimitFSIZE = 1
	sigXCPU     = syscall.Signal(24)
	sigXFSZ     = syscall.Signal(25)
)

// exited tells how a program ended, and which of its limits did it.
func (p *program) exited(status syscall.WaitStatus, used engine.ProgramUsage, limits []control.Rlimit,
	wall time.Duration) control.ExitedEvent {
	e := control.ExitedEvent{Program: p.id, Number: p.number, Code: -1, Wall: wall, CPU: used.CPUTime, MemoryPeak: used.MemoryPeak, Limits: limitsMet(used)}
	p.mu.Lock()
	kill, expired, flooded := p.kill, p.expired, p.flooded
	p.mu.Unlock()
	if flooded {
		e.Limits |= handle.LimitHitOutput // it may have come to its own end all the same
	}
	signal := endedBy(status, kill || expired || flooded, limits)
	if signal == 0 {
		e.Cause, e.Code = handle.CauseExited, int32(status.ExitStatus())
		return e
	}
	e.Cause, e.Signal = handle.CauseSignaled, int32(signal)
	switch signal {
	case syscall.SIGKILL:
		if expired {
			e.Cause = handle.CauseWallLimit
		} else if flooded {
			e.Cause = handle.CauseOutputLimit
		} else if _, hard := limitOf(limits, rlimitCPU); !kill && reached(used.OwnCPUTime, hard) {
			e.Cause = handle.CauseCPULimit
		}
	case sigXCPU:
		if soft, _ := limitOf(limits, rlimitCPU); reached(used.OwnCPUTime, soft) {
			e.Cause = handle.CauseCPULimit
		}
	case sigXFSZ:
		if soft, _ := limitOf(limits, rlimitFSIZE); soft != engine.RlimitInfinity {
			e.Cause = handle.CauseFileLimit
		}
	}
	return e
}

// flood kills a program, and all that it started, that has written more than it may.
func (p *program) flood() {
	p.mu.Lock()
	process := p.process
	p.flooded = !p.kill && !p.expired
	p.mu.Unlock()
	if process != nil { // else started does it
		process.Signal(syscall.SIGKILL)
	}
}

// limitsMet are the limits that a program has met without being ended by them.
func limitsMet(used engine.ProgramUsage) (met uint32) {
	if used.ProcessesRefused {
		met |= handle.LimitHitProcesses
	}
	if used.OverlayFull {
		met |= handle.LimitHitOverlay
	}
	if used.OpenFilesFull {
		met |= handle.LimitHitOpenFiles
	}
	return met
}

// met notes limits that a program has met.
func (s *supervisor) met(limits uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits |= limits
}

// refused is the limit of processes where any program has met it, ended or not.
func (s *supervisor) refused() uint32 {
	if m, ok := s.machine.(engine.LimitTeller); ok && m.ProcessesRefused() {
		return handle.LimitHitProcesses
	}
	return 0
}

// limitOf returns a limit that a program was started with.
func limitOf(limits []control.Rlimit, resource uint32) (soft, hard uint64) {
	for _, l := range limits {
		if l.Resource == resource {
			return l.Soft, l.Hard
		}
	}
	return engine.RlimitInfinity, engine.RlimitInfinity
}

// reached tells whether a processor time is up to a limit in seconds.
func reached(used time.Duration, seconds uint64) bool {
	return seconds <= math.MaxInt64/uint64(time.Second) && used >= time.Duration(seconds)*time.Second
}

func rlimits(list []control.Rlimit) []engine.Rlimit {
	out := make([]engine.Rlimit, len(list))
	for i, l := range list {
		out[i] = engine.Rlimit(l)
	}
	return out
}
