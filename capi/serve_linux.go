package main

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// serveLog returns one end of a socket pair, of which the other is fed. A socket takes
// MSG_NOSIGNAL, so that no SIGPIPE can arise.
func serveLog(r *core.LogReader, _ bool) (int, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(ends[1], true)
		if err != nil {
			unix.Close(ends[0])
			unix.Close(ends[1])
		}
	}
	if err != nil {
		return -1, fault.Wrap(err, fault.Limit, fault.NoStage, "socket pair of a log")
	}
	ours := os.NewFile(uintptr(ends[1]), "log")
	feedLog(ours, r, func() {
		// A child that the host forked meanwhile may have a copy of our end.
		control(ours, func(fd int) bool { unix.Shutdown(fd, unix.SHUT_WR); return true })
	})
	return ends[0], nil
}

// send writes all of data; false when nobody reads any more.
func send(to *os.File, data []byte) bool {
	open := true
	for open && len(data) > 0 {
		open = control(to, func(fd int) bool {
			n, err := unix.SendmsgN(fd, data, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			data = data[max(n, 0):]
			if err == unix.EAGAIN {
				return false // until there is room
			}
			open = err == nil || err == unix.EINTR
			return true
		}) && open
	}
	return open
}

// control runs f with the descriptor, again when it is writable while f is false.
func control(file *os.File, f func(fd int) bool) bool {
	raw, err := file.SyscallConn()
	return err == nil && raw.Write(func(fd uintptr) bool { return f(int(fd)) }) == nil
}
