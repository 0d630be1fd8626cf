package control

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// markers of the first byte of a frame.
const (
	frameInline byte = 'i' // the message follows
	frameMemfd  byte = 'm' // 8 bytes of length follow; the first descriptor holds the message
)

// Conn is one end of a control connection. Send and Recv may run at the same
// time; concurrent Sends are serialised, Recv has one caller.
type Conn struct {
	file *os.File
	raw  syscall.RawConn
	send chan struct{} // holds one token while a frame is being sent
	buf  []byte        // of Recv
}

// NewConn takes ownership of a SOCK_SEQPACKET descriptor.
func NewConn(fd int) (*Conn, error) {
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	file := os.NewFile(uintptr(fd), "control socket")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Conn{file: file, raw: raw, send: make(chan struct{}, 1), buf: make([]byte, MaxFrame)}, nil
}

// Pair makes a connected pair: our end, and the raw descriptor of the other.
func Pair() (*Conn, int, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	conn, err := NewConn(fds[0])
	if err != nil {
		unix.Close(fds[1])
		return nil, -1, err
	}
	return conn, fds[1], nil
}

// Close ends the connection; blocked calls return.
func (c *Conn) Close() error { return c.file.Close() }

// Peer returns the other end's credentials.
func (c *Conn) Peer() (*unix.Ucred, error) {
	var cred *unix.Ucred
	var err error
	if cerr := c.raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); cerr != nil {
		return nil, callError(cerr)
	}
	return cred, os.NewSyscallError("getsockopt SO_PEERCRED", err)
}

// Send sends a message and copies of fds, which stay the caller's. It blocks
// while the other end does not read.
func (c *Conn) Send(m *Message, fds ...int) error {
	return c.SendContext(context.Background(), m, fds...)
}

// SendContext is Send until ctx ends; a frame is sent whole or not at all.
func (c *Conn) SendContext(ctx context.Context, m *Message, fds ...int) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Type, err)
	}
	frame := append([]byte{frameInline}, data...)
	if len(frame) > MaxFrame {
		if len(data) > MaxMessage {
			return fmt.Errorf("%s is %d bytes long, at most %d are allowed: %w", m.Type, len(data), MaxMessage, syscall.E2BIG)
		}
		memfd, err := SealedMemfd("msb-message", data)
		if err != nil {
			return err
		}
		defer unix.Close(memfd)
		frame = binary.LittleEndian.AppendUint64([]byte{frameMemfd}, uint64(len(data)))
		fds = append([]int{memfd}, fds...)
	}
	if len(fds) > MaxFDs {
		return fmt.Errorf("%s with %d descriptors, at most %d are allowed", m.Type, len(fds), MaxFDs)
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	return c.write(ctx, frame, oob)
}

// write sends one frame, after those of other callers.
func (c *Conn) write(ctx context.Context, frame, oob []byte) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.finish()
	ended := wakeAt(ctx, c.file.SetWriteDeadline)
	var sendErr error
	err := c.raw.Write(func(fd uintptr) bool {
		for {
			sendErr = unix.Sendmsg(int(fd), frame, oob, nil, unix.MSG_NOSIGNAL)
			if sendErr != unix.EINTR {
				return sendErr != unix.EAGAIN
			}
		}
	})
	if ended() && err != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return callError(err)
	}
	return os.NewSyscallError("sendmsg", sendErr)
}

// callError is what a syscall.RawConn failed with: its deadline, or that the file is
// closed, which it does not say with os.ErrClosed.
func callError(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return os.ErrClosed
}

// Recv returns the next message and its descriptors (close-on-exec, the
// caller's to close). io.EOF when the other end is closed. A truncated or
// malformed frame is an error and its descriptors are closed.
func (c *Conn) Recv() (*Message, []int, error) {
	n, fds, err := c.recvFrame()
	if err != nil {
		return nil, nil, err
	}
	m, rest, err := decodeFrame(c.buf[:n], fds)
	if err != nil {
		CloseAll(fds)
		return nil, nil, err
	}
	return m, rest, nil
}

func (c *Conn) recvFrame() (int, []int, error) {
	oob := make([]byte, unix.CmsgSpace(MaxFDs*4))
	var n, oobn, flags int
	var recvErr error
	err := c.raw.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, recvErr = unix.Recvmsg(int(fd), c.buf, oob, unix.MSG_CMSG_CLOEXEC)
			if recvErr != unix.EINTR {
				return recvErr != unix.EAGAIN
			}
		}
	})
	if err = callError(err); err == nil {
		err = os.NewSyscallError("recvmsg", recvErr)
	}
	if errors.Is(err, syscall.ECONNRESET) || err == nil && n == 0 && oobn == 0 {
		return 0, nil, io.EOF
	}
	if err != nil {
		return 0, nil, err
	}
	fds, err := parseRights(oob[:oobn])
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("control message or its descriptors were truncated")
	}
	if err != nil {
		CloseAll(fds)
		return 0, nil, err
	}
	return n, fds, nil
}

// parseRights returns all descriptors of the control data, also beside an error.
func parseRights(oob []byte) ([]int, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	cmsgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("malformed control data: %w", err)
	}
	var fds []int
	for i := range cmsgs {
		got, err := unix.ParseUnixRights(&cmsgs[i])
		if err != nil {
			return fds, fmt.Errorf("unexpected control data: %w", err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

// decodeFrame parses a frame; the descriptors that it does not return are
// consumed. On error all of fds are still open.
func decodeFrame(frame []byte, fds []int) (*Message, []int, error) {
	if len(frame) == 0 {
		return nil, nil, errors.New("empty control message")
	}
	switch frame[0] {
	case frameInline:
		m, err := Decode(frame[1:])
		return m, fds, err
	case frameMemfd:
		if len(frame) != 9 || len(fds) == 0 {
			return nil, nil, errors.New("malformed control message: bad memfd header")
		}
		size := binary.LittleEndian.Uint64(frame[1:])
		if size > MaxMessage {
			return nil, nil, fmt.Errorf("control message of %d bytes, at most %d are allowed", size, MaxMessage)
		}
		data, err := ReadSealed(fds[0], int64(size))
		if err != nil {
			return nil, nil, err
		}
		m, err := Decode(data)
		if err != nil {
			return nil, nil, err
		}
		unix.Close(fds[0])
		return m, fds[1:], nil
	}
	return nil, nil, fmt.Errorf("malformed control message: unknown marker %#x", frame[0])
}

// CloseAll closes descriptors.
func CloseAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
