package pid1

import (
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// Above highWater bytes that wait for the port, no output of programs is read.
const (
	highWater = 4 * wire.MaxData
	lowWater  = wire.MaxData
	readSize  = 64 << 10
)

// port is the byte stream to the host.
type port struct {
	fd     int
	poll   *poller
	in     []byte // received, not yet a whole frame
	out    []byte // frames to be sent
	sent   int    // of out
	greedy bool   // waits for room to write
	paused []*output
	handle func(h wire.Header, payload []byte)
	ended  error // set when the stream has ended
}

func (p *port) start() error { return p.poll.watch(p.fd, unix.EPOLLIN, p.ready) }

func (p *port) ready(events uint32) {
	if events&unix.EPOLLOUT != 0 {
		p.flush()
	}
	if events&(unix.EPOLLIN|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		p.receive()
	}
}

// receive reads once, and handles the frames that are whole.
func (p *port) receive() {
	if cap(p.in)-len(p.in) < readSize {
		grown := make([]byte, len(p.in), len(p.in)*2+readSize)
		copy(grown, p.in)
		p.in = grown
	}
	n, err := readNow(p.fd, p.in[len(p.in):cap(p.in)])
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err != nil:
		p.ended = err
		return
	case n == 0:
		p.ended = errEOF
		return
	}
	p.in = p.in[:len(p.in)+n]
	rest := p.in
	for p.ended == nil && len(rest) >= wire.HeaderSize {
		h, err := wire.DecodeHeader(rest, false)
		if err != nil {
			p.ended = err
			return
		}
		whole := wire.HeaderSize + int(h.Length)
		if len(rest) < whole {
			break
		}
		p.handle(h, rest[wire.HeaderSize:whole])
		rest = rest[whole:]
	}
	p.keep(rest)
}

// keep keeps an incomplete frame. Room that a long frame needed is given back.
func (p *port) keep(rest []byte) {
	if len(rest) == 0 && cap(p.in) > 4*readSize {
		p.in = nil
		return
	}
	p.in = p.in[:copy(p.in, rest)]
}

const errEOF = wire.Error("the host has closed the stream")

// frame sends one frame.
func (p *port) frame(h wire.Header, body func([]byte) []byte) {
	start := len(p.out)
	p.out = wire.AppendHeader(p.out, h)
	if body != nil {
		p.out = body(p.out)
	}
	p.out = wire.Finish(p.out, start)
}

// full tells whether outputs must wait.
func (p *port) full() bool { return len(p.out)-p.sent > highWater }

// flush writes what the port takes.
func (p *port) flush() {
	for p.ended == nil && p.sent < len(p.out) {
		n, err := writeNow(p.fd, p.out[p.sent:])
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			p.ended = err
			return
		}
		p.sent += n
	}
	if p.sent == len(p.out) {
		p.out, p.sent = p.out[:0], 0
	} else if p.sent > readSize {
		p.out, p.sent = p.out[:copy(p.out, p.out[p.sent:])], 0
	}
	if greedy := len(p.out) > 0; greedy != p.greedy {
		p.greedy = greedy
		events := uint32(unix.EPOLLIN)
		if greedy {
			events |= unix.EPOLLOUT
		}
		if err := p.poll.watch(p.fd, events, p.ready); err != nil {
			p.ended = err
		}
	}
	p.resume()
}

// resume lets outputs go on once there is room.
func (p *port) resume() {
	if len(p.paused) == 0 || len(p.out)-p.sent > lowWater {
		return
	}
	paused := p.paused
	p.paused = nil
	for _, o := range paused {
		o.paused = false
		o.watch()
	}
}
