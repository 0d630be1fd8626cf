package runtime

import "fmt"

// confine has nothing to do: the engine made its job with all limits at its boot.
func (s *supervisor) confine() error { return nil }

func (s *supervisor) confineLater() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// removeGroup has nothing to remove: a job goes with its last handle.
func (s *supervisor) removeGroup() {}

// processors is the line of the receipt about them.
func (s *supervisor) processors() string {
	if quota := s.cfg.Limits.CPUPermille; quota > 0 {
		return fmt.Sprintf("processors: quota %d permille (job object)", quota)
	}
	return "processors: no limit"
}
