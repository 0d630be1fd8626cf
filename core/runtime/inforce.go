package runtime

import (
	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// enforces reports whether an engine enforces what is asked for.
func enforces(e engine.Engine, asked engine.Limits) bool {
	_, any := e.(engine.Limiter)
	return any || asked == engine.Limits{}
}

func (s *supervisor) engineLimits() engine.Limits {
	l := s.limitsInForce()
	return engine.Limits{CPUPermille: l.CPUPermille, CPUWeight: l.CPUWeight, Processes: l.Processes, OpenFiles: l.OpenFiles}
}

// limitsInForce are those asked for and, once the engine is known, its defaults.
func (s *supervisor) limitsInForce() control.Limits {
	l := s.cfg.Limits
	limiter, ok := s.engine.(engine.Limiter)
	if !ok {
		return l
	}
	otherwise := limiter.DefaultLimits(s.cfg.MemoryBytes)
	if l.Processes == 0 {
		l.Processes = otherwise.Processes
	}
	if l.OpenFiles == 0 {
		l.OpenFiles = otherwise.OpenFiles
	}
	return l
}
