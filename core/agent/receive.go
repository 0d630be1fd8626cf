package agent

import (
	"bufio"
	"encoding/binary"
	"io"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// maxLogged bounds the lines that a guest may add to the supervisor's log.
const maxLogged = 1000

// receive reads frames until the stream ends. It never waits for anybody but the guest.
func (c *Client) receive() {
	in := bufio.NewReaderSize(c.port, 64<<10)
	var header [wire.HeaderSize]byte
	payload := make([]byte, wire.MaxGuestFrame)
	for {
		if _, err := io.ReadFull(in, header[:]); err != nil {
			c.fail(err)
			return
		}
		h, err := wire.DecodeHeader(header[:], true)
		if err == nil {
			_, err = io.ReadFull(in, payload[:h.Length])
		}
		if err == nil {
			err = c.handle(h, payload[:h.Length])
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// handle takes one frame; payload is only valid until it returns.
func (c *Client) handle(h wire.Header, payload []byte) error {
	switch h.Kind {
	case wire.KindReply:
		return c.replied(h.ID, payload)
	case wire.KindLog:
		c.logLine(string(payload[:min(len(payload), wire.MaxText)]))
		return nil
	}
	c.mu.Lock()
	p := c.programs[h.ID]
	c.mu.Unlock()
	if p == nil {
		return wire.Error("frame for a program that does not run")
	}
	switch h.Kind {
	case wire.KindExited:
		m, err := wire.DecodeExited(payload)
		if err != nil {
			return err
		}
		return p.hasExited(m)
	case wire.KindCredit:
		return p.credit(h.Stream, binary.LittleEndian.Uint32(payload))
	case wire.KindClose:
		return p.streamClosed(h.Stream)
	default: // KindData: DecodeHeader lets no other pass
		return p.data(h.Stream, payload)
	}
}

func (c *Client) replied(id uint32, payload []byte) error {
	reply, err := wire.DecodeReply(payload)
	if err != nil {
		return err
	}
	reply.Body = append([]byte(nil), reply.Body...)
	c.mu.Lock()
	take, ok := c.pending[id]
	delete(c.pending, id)
	c.mu.Unlock()
	if !ok {
		return wire.Error("reply to no request")
	}
	if take != nil {
		take(reply)
	}
	return nil
}

func (c *Client) logLine(text string) {
	c.mu.Lock()
	c.logged++
	n := c.logged
	c.mu.Unlock()
	switch {
	case n < maxLogged:
		c.options.Log("guest agent: %s", clean(text))
	case n == maxLogged:
		c.options.Log("guest agent: further lines are dropped")
	}
}
