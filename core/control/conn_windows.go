package control

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/windows"
)

// A frame is, numbers little-endian: u32 length of the message, u32 number of
// handles, the handles as u64, the message.
const frameHeader = 8

// Conn is one end of a control connection, a named pipe in byte mode. Send and Recv
// may run at the same time; concurrent Sends are serialised, Recv has one caller.
type Conn struct {
	file  *os.File
	in    *bufio.Reader
	send  chan struct{} // holds one token while a frame is being sent
	takes bool          // handles that the other end has made in this process

	mu   sync.Mutex
	peer windows.Handle // the process to which handles are given; 0: none
}

// newConn takes ownership of a pipe's handle, which is open for overlapped I/O, and
// of the peer's.
func newConn(pipe, peer windows.Handle) *Conn {
	file := os.NewFile(uintptr(pipe), "control pipe")
	return &Conn{file: file, in: bufio.NewReader(file), send: make(chan struct{}, 1), peer: peer}
}

// Close ends the connection; blocked calls return.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.peer != 0 {
		windows.CloseHandle(c.peer)
		c.peer = 0
	}
	c.mu.Unlock()
	return c.file.Close()
}

// Send sends a message and copies of handles, which stay the caller's. It blocks
// while the other end does not read.
func (c *Conn) Send(m *Message, handles ...int) error {
	return c.SendContext(context.Background(), m, handles...)
}

// SendContext is Send until ctx ends. A frame that was cut short by that ends the
// connection.
func (c *Conn) SendContext(ctx context.Context, m *Message, handles ...int) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %s: %w", m.Type, err)
	}
	if len(data) > MaxMessage {
		return fmt.Errorf("%s is %d bytes long, at most %d are allowed: %w", m.Type, len(data), MaxMessage, syscall.E2BIG)
	}
	if len(handles) > MaxFDs {
		return fmt.Errorf("%s with %d handles, at most %d are allowed", m.Type, len(handles), MaxFDs)
	}
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.finish()
	given, err := c.give(handles)
	if err != nil {
		return err
	}
	frame := make([]byte, 0, frameHeader+8*len(given)+len(data))
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(data)))
	frame = binary.LittleEndian.AppendUint32(frame, uint32(len(given)))
	for _, h := range given {
		frame = binary.LittleEndian.AppendUint64(frame, uint64(h))
	}
	if err := c.write(ctx, append(frame, data...)); err != nil {
		c.takeBack(given)
		return err
	}
	return nil
}

func (c *Conn) write(ctx context.Context, frame []byte) error {
	ended := wakeAt(ctx, c.file.SetWriteDeadline)
	n, err := c.file.Write(frame)
	if ended() && err != nil {
		err = context.Cause(ctx)
	}
	if err != nil && n > 0 {
		c.Close()
	}
	return err
}

// give makes copies of handles in the peer's process.
func (c *Conn) give(handles []int) ([]windows.Handle, error) {
	if len(handles) == 0 {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peer == 0 {
		return nil, os.ErrClosed
	}
	var given []windows.Handle
	for _, h := range handles {
		var there windows.Handle
		err := windows.DuplicateHandle(windows.CurrentProcess(), windows.Handle(h), c.peer, &there, 0, false, windows.DUPLICATE_SAME_ACCESS)
		if err != nil {
			c.closeThere(given)
			return nil, os.NewSyscallError("DuplicateHandle", err)
		}
		given = append(given, there)
	}
	return given, nil
}

// takeBack closes handles in the peer's process that it has not learnt of.
func (c *Conn) takeBack(given []windows.Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeThere(given)
}

// closeThere is takeBack with mu held.
func (c *Conn) closeThere(given []windows.Handle) {
	if c.peer == 0 {
		return // it has ended, or we have given it up
	}
	for _, h := range given {
		windows.DuplicateHandle(c.peer, h, 0, nil, 0, false, windows.DUPLICATE_CLOSE_SOURCE)
	}
}

// Recv returns the next message and its handles, the caller's to close. io.EOF when
// the other end is closed. After any error the connection is of no use.
func (c *Conn) Recv() (*Message, []int, error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(c.in, header[:]); err != nil {
		return nil, nil, ended(err)
	}
	size, count := binary.LittleEndian.Uint32(header[:]), binary.LittleEndian.Uint32(header[4:])
	switch {
	case size > MaxMessage:
		return nil, nil, fmt.Errorf("control message of %d bytes, at most %d are allowed", size, MaxMessage)
	case count > MaxFDs, count > 0 && !c.takes:
		// A number from somebody who has made no handle here would be one of ours.
		return nil, nil, fmt.Errorf("control message with %d handles", count)
	}
	buf := make([]byte, 8*count+size)
	if _, err := io.ReadFull(c.in, buf); err != nil {
		return nil, nil, ended(err)
	}
	var handles []int
	for ; count > 0; count-- {
		handles = append(handles, int(binary.LittleEndian.Uint64(buf)))
		buf = buf[8:]
	}
	m, err := Decode(buf)
	if err != nil {
		CloseAll(handles)
		return nil, nil, err
	}
	return m, handles, nil
}

// ended makes io.EOF of the errors of a pipe whose other end is closed.
func ended(err error) error {
	if isBroken(err) && !errors.Is(err, os.ErrClosed) {
		return io.EOF
	}
	return err
}

// CloseAll closes handles.
func CloseAll(handles []int) {
	for _, h := range handles {
		windows.CloseHandle(windows.Handle(h))
	}
}

// WriteLine sends the line with which a connection to the owner begins.
func (c *Conn) WriteLine(line []byte) error {
	_, err := c.file.Write(append(line, '\n'))
	return err
}

// ReadLine reads that line, of at most size bytes, until ctx ends.
func (c *Conn) ReadLine(ctx context.Context, size int) ([]byte, error) {
	defer wakeAt(ctx, c.file.SetReadDeadline)()
	var line []byte
	for len(line) <= size {
		b, err := c.in.ReadByte()
		switch {
		case err != nil:
			return line, ended(err)
		case b == '\n':
			return line, nil
		}
		line = append(line, b)
	}
	return line, nil
}
