//go:build failpoint

package failpoint

import (
	"os"
	"runtime"
	"syscall"
)

// hit kills or stops this process, from where it is.
func hit(kill bool) {
	signal := syscall.SIGSTOP
	if kill {
		signal = syscall.SIGKILL
	}
	// To this thread, which it stops on the way out of the call: sent to the process
	// it would stop some other thread first, and this one would go on.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.Tgkill(os.Getpid(), syscall.Gettid(), signal)
}
