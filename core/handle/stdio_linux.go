package handle

import "golang.org/x/sys/unix"

// errNotOpen is the error of a number that is no open descriptor.
const errNotOpen = unix.EBADF

// duplicate makes another descriptor, close-on-exec, of an open one.
func duplicate(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3) }

// standard is the descriptor of one of the host's own standard streams.
func standard(which int) int { return which }

// newPipe makes a pipe: its read end, then its write end.
func newPipe(int, bool) (ends [2]int, err error) {
	err = unix.Pipe2(ends[:], unix.O_CLOEXEC)
	return ends, err
}
