package launch

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// TakeSIGPIPE consumes a pending SIGPIPE of this thread: after a write to a pipe
// without a reader it would otherwise wait for somebody to unblock it.
func TakeSIGPIPE() {
	const kernelSetSize = 8 // bytes of the kernel's sigset_t
	set := uint64(1) << (unix.SIGPIPE - 1)
	var poll unix.Timespec
	unix.Syscall6(unix.SYS_RT_SIGTIMEDWAIT, uintptr(unsafe.Pointer(&set)), 0, uintptr(unsafe.Pointer(&poll)), kernelSetSize, 0, 0)
}
