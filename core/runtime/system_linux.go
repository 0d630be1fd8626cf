package runtime

import (
	"syscall"

	"github.com/libmicrosandbox/microsandbox/core/cgroup"
	"github.com/libmicrosandbox/microsandbox/core/control"
)

// system is what only this operating system has.
type system struct {
	group *cgroup.Group // nil: the engine is in none of its own; under the supervisor's mu
}

// endedBy is the signal that ended a program, or 0.
func endedBy(status syscall.WaitStatus, _ bool, _ []control.Rlimit) syscall.Signal {
	if status.Signaled() {
		return status.Signal()
	}
	return 0
}
