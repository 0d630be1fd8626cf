package runtime

import (
	"os"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// system is what only this operating system has.
type system struct {
	job      string   // the job of this process, which ends with the owner unless cleared
	watchdog *os.File // read end
}

// endedBy is the signal that stands for how a program ended: there are none here, so
// it is what was done to it.
func endedBy(status syscall.WaitStatus, killed bool, limits []control.Rlimit) syscall.Signal {
	if killed {
		return syscall.SIGKILL
	}
	// What the kernel gives a process that has used its time up.
	soft, _ := limitOf(limits, rlimitCPU)
	if soft != engine.RlimitInfinity && syscall.Errno(status.ExitStatus()) == windows.ERROR_NOT_ENOUGH_QUOTA {
		return sigXCPU
	}
	return 0
}
