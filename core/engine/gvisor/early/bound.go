package early

import (
	"syscall"
	"unsafe"
)

// What gVisor leaves sentry and gofer in their bounding sets, bit by bit: a test
// compares.
const (
	SentryBounding = 1<<capChown | 1<<capDACOverride | 1<<capDACReadSearch | 1<<capFowner | 1<<capFsetid | 1<<capSysPtrace
	GoferBounding  = 1<<capChown | 1<<capDACOverride | 1<<capDACReadSearch | 1<<capFowner | 1<<capFsetid | 1<<capSysChroot
)

// Linux's numbers of capabilities.
const (
	capChown         = 0
	capDACOverride   = 1
	capDACReadSearch = 2
	capFowner        = 3
	capFsetid        = 4
	capSetPCap       = 8
	capSysChroot     = 18
	capSysPtrace     = 19
	capSysAdmin      = 21
	capMost          = 63
)

const (
	prDropBounding = 24         // PR_CAPBSET_DROP
	capVersion     = 0x20080522 // _LINUX_CAPABILITY_VERSION_3
)

// What the kernel is asked with on each thread: globals do not move.
var (
	capHeader = struct {
		version uint32
		pid     int32
	}{version: capVersion}
	capData [2]struct{ effective, permitted, inheritable uint32 }
)

// bound drops from the bounding set of all threads what is not in keep, and then the
// right to do so: without it gVisor, which would repeat each step, leaves it at that.
// The sentry's umounter, which is executed, keeps its CAP_SYS_ADMIN by the inheritable
// set, until gVisor sets that one. Where a step fails gVisor does all of them.
func bound(keep uint64) {
	if !getCaps() || capData[0].effective&(1<<capSetPCap) == 0 {
		return
	}
	capData[0].inheritable = 1 << capSysAdmin
	if !setCaps() { // first: what is not in the bounding set cannot be added
		return
	}
	for c := uintptr(0); c <= capMost; c++ {
		if keep&(1<<c) != 0 {
			continue
		}
		_, _, errno := syscall.AllThreadsSyscall(syscall.SYS_PRCTL, prDropBounding, c, 0)
		if errno == syscall.EINVAL {
			break // this kernel's last was the one before
		}
		if errno != 0 {
			return
		}
	}
	capData[0].effective &^= 1 << capSetPCap
	setCaps()
}

func getCaps() bool {
	_, _, errno := syscall.RawSyscall(syscall.SYS_CAPGET, uintptr(unsafe.Pointer(&capHeader)), uintptr(unsafe.Pointer(&capData)), 0)
	return errno == 0
}

func setCaps() bool {
	_, _, errno := syscall.AllThreadsSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&capHeader)), uintptr(unsafe.Pointer(&capData)), 0)
	return errno == 0
}
