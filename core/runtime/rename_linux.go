package runtime

import (
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/handle"
)

// rename gives the sandbox a free name, or leaves it its own.
func (s *supervisor) rename(name string, machine engine.Adoptable) error {
	if err := s.claim.Rename(name); err != nil {
		return err
	}
	cfg := s.cfg
	cfg.Name = name
	if err := checkNotStored(&cfg); err != nil {
		if s.claim.Rename(s.cfg.Name) != nil {
			s.end(handle.CauseCrashed, 0)
		}
		return err
	}
	machine.Moved(s.claim.Dir())
	return nil
}
