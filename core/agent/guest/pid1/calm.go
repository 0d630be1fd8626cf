package pid1

import (
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// monitorSlack is by how much the sleeps of the runtime's monitor may last longer, in
// nanoseconds: 20 ms.
const monitorSlack = "20000000"

// calmRuntime makes the kernel fold the short sleeps of Go's runtime into interrupts
// that come anyway. Its monitor thread sleeps for 20 us at a time while the agent works;
// each such sleep sets a timer, which costs a virtual machine an exit, an interrupt and
// two switches of context: more than to pass 32 KiB on. What the monitor is for, taking
// a processor back from a goroutine, may wait here.
func calmRuntime() {
	self := unix.Gettid()
	for _, name := range names("/proc/self/task") {
		if tid, err := strconv.Atoi(name); err == nil && tid != self {
			writeAt(unix.AT_FDCWD, "/proc/"+name+"/timerslack_ns", monitorSlack)
		}
	}
}

// readNow and writeNow are read(2) and write(2) of a descriptor that does not wait: the
// scheduler need not be told.
func readNow(fd int, b []byte) (int, error) { return transfer(unix.SYS_READ, fd, b) }

func writeNow(fd int, b []byte) (int, error) { return transfer(unix.SYS_WRITE, fd, b) }

func transfer(call uintptr, fd int, b []byte) (int, error) {
	n, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
