// Package wire is what the supervisor and the engine's processes, sentry and
// gofer, say to each other. It imports nothing of gVisor: see package sentry.
package wire

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// argv[0] of the engine's processes.
const (
	SentryName = "runsc-sandbox"
	GoferName  = "runsc-gofer"
	UsernsName = "runsc-userns" // killed before it runs anything
)

// AttendCommand is the command of a sentry that is started before it is known what
// it is to run: it initialises itself and waits for its Orders on OrdersFD.
const AttendCommand = "attend"

// Descriptors of a sentry that is started: its socket for Orders, and its pin ring
// where the kernel has one, which no socket takes.
const (
	OrdersFD = firstFD
	RingFD   = firstFD + 1
)

// The supervisor's trace session in the sentry: the sink's name, and the keys of
// its configuration.
const (
	LineageName     = "microsandbox"
	ConfigProcesses = "processes"
	ConfigOpenFiles = "open_files"
)

// Orders are what a sentry that attends is to run.
type Orders struct {
	Args []Arg  `json:"args"`
	CPU  string `json:"cpu,omitempty"` // what the processor says of itself: see package sentry
}

// Arg is one argument of a command line: its text, and for File above 0 the number of
// the descriptor that came as the File-th with the orders.
type Arg struct {
	Text string `json:"t"`
	File int    `json:"f,omitempty"`
}

// Bounds of orders: bytes, and descriptors (the kernel's is 253).
const (
	maxOrders = 64 << 10
	maxFiles  = 200
)

// Send sends orders and descriptors, which stay the caller's.
func Send(fd int, o Orders, files []*os.File) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if len(data) > maxOrders || len(files) > maxFiles {
		return fmt.Errorf("orders of %d bytes with %d descriptors are too long", len(data), len(files))
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	return os.NewSyscallError("sendmsg", unix.Sendmsg(fd, data, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL))
}

// Receive waits for orders, and returns the command line. Its descriptors are
// closed by an exec.
func Receive(fd int) ([]string, Orders, error) {
	data, rights := make([]byte, maxOrders), make([]byte, unix.CmsgSpace(4*maxFiles))
	var n, oobn, flags int
	for {
		var err error
		n, oobn, flags, _, err = unix.Recvmsg(fd, data, rights, unix.MSG_CMSG_CLOEXEC)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return nil, Orders{}, os.NewSyscallError("recvmsg", err)
		}
	}
	if n == 0 || flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		return nil, Orders{}, fmt.Errorf("%d bytes of orders, flags %#x", n, flags)
	}
	fds, err := descriptors(rights[:oobn])
	if err != nil {
		return nil, Orders{}, err
	}
	var o Orders
	if err := json.Unmarshal(data[:n], &o); err != nil {
		return nil, Orders{}, err
	}
	args := make([]string, len(o.Args))
	for i, a := range o.Args {
		args[i] = a.Text
		if a.File < 0 || a.File > len(fds) {
			return nil, Orders{}, fmt.Errorf("argument %q of orders with %d descriptors asks for number %d", a.Text, len(fds), a.File)
		}
		if a.File > 0 {
			args[i] += fmt.Sprint(fds[a.File-1])
		}
	}
	return args, o, nil
}

func descriptors(rights []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return nil, err
		}
		all = append(all, fds...)
	}
	return all, nil
}
