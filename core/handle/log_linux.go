package handle

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/launch"
)

// write runs on a thread of the Go runtime, which has all signals blocked: a
// reader that went away cannot raise SIGPIPE in the host. It keeps the thread, and
// takes the signal back before anything unblocks it.
func (l *logger) write() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer unix.Close(l.fd)
	for line := range l.lines {
		if n := l.dropped.Swap(0); n > 0 {
			line = fmt.Sprintf("(%d lines were dropped: the log descriptor was not writable)\n%s", n, line)
		}
		fds := []unix.PollFd{{Fd: int32(l.fd), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 0)
		if err != nil || n == 0 || fds[0].Revents&unix.POLLOUT == 0 {
			l.dropped.Add(1)
			continue
		}
		// At most PIPE_BUF bytes do not block on a writable pipe.
		if _, err := unix.Write(l.fd, []byte(line[:min(len(line), 4096)])); err == unix.EPIPE {
			launch.TakeSIGPIPE()
		}
	}
}
