package agent

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// errEnded is what a request fails with when the stream has ended.
var errEnded = errors.New("the machine has ended")

// ask sends a request and waits for its reply.
func (c *Client) ask(ctx context.Context, kind wire.Kind, body func([]byte) []byte) (wire.Reply, error) {
	answer := make(chan wire.Reply, 1)
	id, err := c.register(func(reply wire.Reply) { answer <- reply })
	if err != nil {
		return wire.Reply{}, err
	}
	if err := c.send(ctx, frame(wire.Header{Kind: kind, ID: id}, body)); err != nil {
		if ctx.Err() != nil { // not sent: no answer will come
			c.forget(id)
		}
		return wire.Reply{}, err
	}
	return c.await(ctx, id, answer)
}

// frame is one frame with its payload.
func frame(h wire.Header, body func([]byte) []byte) []byte {
	return wire.Finish(body(wire.AppendHeader(nil, h)), 0)
}

// register makes a request's id. take is called at most once, by the receiver, and
// must not wait.
func (c *Client) register(take func(wire.Reply)) (uint32, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) >= maxPending {
		return 0, fault.New(fault.Limit, fault.StageEngine, "the guest has left %d requests without an answer", maxPending)
	}
	for c.lastRequest++; c.lastRequest == 0 || c.isPending(c.lastRequest); c.lastRequest++ {
	}
	c.pending[c.lastRequest] = take
	return c.lastRequest, nil
}

func (c *Client) isPending(id uint32) bool {
	_, ok := c.pending[id]
	return ok
}

func (c *Client) forget(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
}

// await waits for an answer. When the context ends first, the answer is dropped when
// it comes.
func (c *Client) await(ctx context.Context, id uint32, answer chan wire.Reply) (wire.Reply, error) {
	select {
	case reply := <-answer:
		return reply, nil
	case <-c.done:
		select {
		case reply := <-answer:
			return reply, nil
		default:
			return wire.Reply{}, errEnded
		}
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.isPending(id) {
			c.pending[id] = nil
		}
		return wire.Reply{}, ctx.Err()
	}
}

// simple is a request that the guest answers at once, with success and nothing else.
func (c *Client) simple(ctx context.Context, kind wire.Kind, body func([]byte) []byte, what string) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.RequestTimeout)
	defer cancel()
	reply, err := c.ask(ctx, kind, body)
	if err != nil {
		return c.failed(err, what)
	}
	return refused(reply, fault.IO, fault.StageEngine, what)
}

// send writes one frame. Frames never mix; a stuck port fails the client.
func (c *Client) send(ctx context.Context, frame []byte) error {
	select {
	case <-c.done:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	default:
	}
	select {
	case c.sending <- struct{}{}:
	case <-c.done:
		return errEnded
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.sending }()
	stuck := time.AfterFunc(c.options.WriteTimeout, func() {
		c.fail(wire.Error("the guest took no data for " + c.options.WriteTimeout.String()))
	})
	_, err := c.port.Write(frame)
	stuck.Stop()
	if err != nil {
		c.fail(err)
		return errEnded
	}
	return nil
}

// failed is the error of a request that got no answer.
func (c *Client) failed(err error, what string) error {
	var own *fault.Error
	switch {
	case errors.As(err, &own):
		return own
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.TimedOut, fault.StageEngine, "%s: timed out", what)
	case errors.Is(err, context.Canceled):
		return fault.New(fault.Canceled, fault.StageEngine, "%s: canceled", what)
	case errors.Is(err, errEnded):
		if cause := c.Err(); cause != nil {
			return fault.New(fault.Gone, fault.StageEngine, "%s: the machine has ended: %v", what, cause)
		}
		return fault.New(fault.Gone, fault.StageEngine, "%s: the machine has ended", what)
	}
	return fault.Wrap(err, fault.IO, fault.StageEngine, what)
}

// refused is the error that a reply tells, or nil.
func refused(reply wire.Reply, code fault.Code, stage fault.Stage, what string) error {
	if reply.Errno == 0 {
		return nil
	}
	text := clean(reply.Text)
	if text != "" {
		text = ": " + text
	}
	errno := syscall.Errno(reply.Errno)
	e := fault.New(code, stage, "%s%s: %s", what, text, errno.Error())
	e.Errno = errno
	return e
}

// clean makes text of the guest fit for messages: one line of UTF-8 that can be read.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}
