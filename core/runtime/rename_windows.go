package runtime

import (
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// rename refuses: a directory in use cannot be renamed here, and so none of this
// system's engines has sandboxes that wait for a name.
func (s *supervisor) rename(name string, _ engine.Adoptable) error {
	return fault.New(fault.Unsupported, fault.StageState, "sandbox %q cannot become %q: there are no pools on Windows", s.cfg.Name, name)
}
