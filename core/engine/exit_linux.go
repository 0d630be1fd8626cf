package engine

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// AwaitExit waits for the end of a child and returns how it ended. It leaves the
// zombie, so that the pid stays the caller's.
func AwaitExit(pid int) (syscall.WaitStatus, error) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return 0, os.NewSyscallError("waitid", err)
		}
	}
	// si_status of a 64-bit kernel: after signo, errno, code, padding, pid and uid.
	status := *(*int32)(unsafe.Add(unsafe.Pointer(&info), 24))
	const exited = 1 // CLD_EXITED
	if info.Code == exited {
		return syscall.WaitStatus(status&0xff) << 8, nil
	}
	return syscall.WaitStatus(status), nil // killed, with a core or without
}
