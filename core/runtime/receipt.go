package runtime

import "fmt"

// receipt is what is enforced by what: the engine's, and what this process does.
func (s *supervisor) receipt() []string {
	l := s.cfg.Limits
	lines := append(s.machine.Receipt(), s.processors())
	if l.CPUTime > 0 {
		lines = append(lines, fmt.Sprintf("processor time: at most %v (supervisor, looked at every %v to %v)", l.CPUTime, shortestLook, longestLook))
	}
	return lines
}
