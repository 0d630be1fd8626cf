package store

import (
	"time"

	"golang.org/x/sys/unix"
)

// WaitGone waits until processes that the kernel is killing are gone, so that
// what they use can be taken away. One that is still there after the limit is
// killed here.
func WaitGone(processes []Process) {
	deadline := time.Now().Add(deathLimit)
	for _, p := range processes {
		fd, err := unix.PidfdOpen(p.Pid, 0)
		if err != nil {
			continue
		}
		if p.Found() && !pollUntil(fd, deadline) {
			unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			pollUntil(fd, time.Now().Add(time.Second))
		}
		unix.Close(fd)
	}
}

// pollUntil waits until a pidfd's process has ended.
func pollUntil(pidfd int, deadline time.Time) bool {
	for {
		left := max(time.Until(deadline).Milliseconds(), 0)
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(left))
		if err != unix.EINTR {
			return n > 0
		}
	}
}
