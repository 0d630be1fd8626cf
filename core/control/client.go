package control

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Client is the library's side of a connection. Safe for concurrent use.
type Client struct {
	conn    *Conn
	onEvent func(*Message)
	closed  chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	nextID  uint64
	pending map[uint64]chan *Message // nil once the reader has ended
}

// NewClient takes ownership of conn and starts reading. onEvent is called for
// each event, in order, from the reader's goroutine; it must not block. The
// reader ends at end of file, at an error, or at Close.
func NewClient(conn *Conn, onEvent func(*Message)) *Client {
	c := &Client{conn: conn, onEvent: onEvent, closed: make(chan struct{}), pending: map[uint64]chan *Message{}}
	fault.Go("control client", c.read)
	return c
}

// Closed is closed when nothing more can arrive.
func (c *Client) Closed() <-chan struct{} { return c.closed }

// Close ends the connection.
func (c *Client) Close() { c.conn.Close() }

func (c *Client) read() {
	defer c.end()
	for {
		m, fds, err := c.conn.Recv()
		if err != nil {
			return
		}
		CloseAll(fds) // a supervisor sends none
		if m.Type != Reply {
			c.onEvent(m)
			continue
		}
		c.mu.Lock()
		ch := c.pending[m.ID]
		delete(c.pending, m.ID)
		c.mu.Unlock()
		if ch != nil {
			ch <- m // has room for the one reply
		}
	}
}

func (c *Client) end() {
	c.conn.Close()
	c.mu.Lock()
	pending := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, ch := range pending {
		close(ch)
	}
	close(c.closed)
}

// errGone is returned when the supervisor ends before it answers.
func errGone(t Type) error {
	return fault.New(fault.Gone, fault.StageControl, "%s: the sandbox ended before it answered", t)
}

// Call sends a request with copies of fds and waits for its reply, whose body
// goes to result unless that is nil.
func (c *Client) Call(ctx context.Context, t Type, body, result any, fds ...int) error {
	ch := make(chan *Message, 1)
	c.mu.Lock()
	if c.pending == nil {
		c.mu.Unlock()
		return errGone(t)
	}
	c.nextID++
	id := c.nextID
	c.pending[id] = ch
	c.mu.Unlock()

	m, err := NewMessage(t, id, body)
	if err == nil {
		err = c.conn.SendContext(ctx, m, fds...)
	}
	if err != nil {
		c.forget(id)
		if ctx.Err() != nil && err == context.Cause(ctx) {
			return err
		}
		return sendError(t, err)
	}
	select {
	case reply, ok := <-ch:
		switch {
		case !ok:
			return errGone(t)
		case reply.Err != nil:
			return reply.Err
		case result != nil:
			return reply.Into(result)
		}
		return nil
	case <-ctx.Done():
		c.forget(id)
		return context.Cause(ctx)
	}
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

func sendError(t Type, err error) error {
	if isBroken(err) || errors.Is(err, io.EOF) {
		return errGone(t)
	}
	return fault.Wrap(err, fault.IO, fault.StageControl, "send "+string(t))
}
