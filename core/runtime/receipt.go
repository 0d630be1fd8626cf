package runtime

import "fmt"

// receipt is what is enforced by what: the engine's, and what this process does.
func (s *supervisor) receipt() []string {
	l := s.cfg.Limits
	s.mu.Lock()
	group := s.group
	s.mu.Unlock()
	lines := s.machine.Receipt()
	if group != nil && (l.CPUPermille > 0 || l.CPUWeight > 0) {
		_, mechanism := group.Notes()
		lines = append(lines, fmt.Sprintf("processors: quota %d permille, weight %d, 0 is none (%s)", l.CPUPermille, l.CPUWeight, mechanism))
	} else {
		lines = append(lines, "processors: no limit")
	}
	if l.CPUTime > 0 {
		lines = append(lines, fmt.Sprintf("processor time: at most %v (supervisor, looked at every %v to %v)", l.CPUTime, shortestLook, longestLook))
	}
	return lines
}
