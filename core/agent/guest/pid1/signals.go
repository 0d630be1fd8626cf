package pid1

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

const sigIgn = 1

// IgnoreSignals keeps programs of the guest from ending us. A pid 1 gets the signals
// of its own children only where it has a handler, and Go's runtime has one for each.
// Those that the runtime itself uses, and those of faults, stay.
func IgnoreSignals() {
	for signo := 1; signo <= 64; signo++ {
		switch unix.Signal(signo) {
		case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGSEGV, unix.SIGBUS, unix.SIGFPE, 32, 33, 34:
			continue
		}
		ignore := sigaction{handler: sigIgn}
		unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(signo), uintptr(unsafe.Pointer(&ignore)), 0, 8, 0, 0)
	}
}
