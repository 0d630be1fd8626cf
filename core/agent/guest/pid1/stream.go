package pid1

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// output sends what a program writes, as far as the host has given credit. fd is the
// read end of a pipe, or the master of a terminal.
type output struct {
	a      *Agent
	p      *program
	stream uint8
	fd     int // -1: closed
	credit uint32
	sent   uint64
	paused bool // the port is full
	live   bool // the program runs: the host knows its number
}

// watch reads as soon as there is something, if it may be sent.
func (o *output) watch() {
	if o.fd < 0 || !o.live {
		return
	}
	if o.credit == 0 || o.paused {
		o.a.poll.unwatch(o.fd) // a hang-up would be told again and again
		return
	}
	o.a.poll.watch(o.fd, unix.EPOLLIN, o.ready)
}

func (o *output) ready(uint32) {
	if o.a.port.full() {
		o.paused = true
		o.a.port.paused = append(o.a.port.paused, o)
		o.watch()
		return
	}
	for o.credit > 0 && !o.a.port.full() && o.read() == wire.MaxData {
	}
}

// longOutput is after how many bytes an output gets a larger pipe, so that the program
// and the agent take turns less often.
const longOutput = 4 * wire.MaxData

// pipeSize is that of the pipes of long streams: what an input may have in flight.
const pipeSize = wire.InputWindow

// widen enlarges a pipe; one that stays as it is works as well.
func widen(fd int) { unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize) }

// read reads once, straight into the port's queue; 0 when there is nothing now.
func (o *output) read() int {
	port := o.a.port
	start := len(port.out)
	n := int(min(o.credit, wire.MaxData))
	port.out = wire.AppendHeader(port.out, wire.Header{Kind: wire.KindData, Stream: o.stream, ID: o.p.id})
	port.out = slices.Grow(port.out, n)[:len(port.out)+n]
	got, err := readNow(o.fd, port.out[start+wire.HeaderSize:])
	if got <= 0 {
		port.out = port.out[:start]
		if err == unix.EAGAIN || err == unix.EINTR {
			return 0
		}
		o.close() // end of file; EIO of a terminal whose last user has gone
		return 0
	}
	port.out = wire.Finish(port.out[:start+wire.HeaderSize+got], start)
	o.credit -= uint32(got)
	if o.sent < longOutput && o.sent+uint64(got) >= longOutput && o.p.terminal < 0 {
		widen(o.fd)
	}
	o.sent += uint64(got)
	if o.credit == 0 {
		o.watch()
	}
	return got
}

// written is how long the output is by now, as far as it can be told.
func (o *output) written() uint64 {
	if o.fd < 0 {
		return o.sent
	}
	waiting, err := unix.IoctlGetInt(o.fd, unix.TIOCINQ)
	if err != nil {
		waiting = 0
	}
	return o.sent + uint64(max(waiting, 0))
}

func (o *output) close() {
	if o.fd < 0 {
		return
	}
	o.a.poll.unwatch(o.fd)
	unix.Close(o.fd)
	o.fd = -1
	o.p.streamClosed(o.stream, o.live)
	if o.p.terminal >= 0 && o.p.input != nil {
		o.p.input.close() // the last user of the master: the terminal hangs up
	}
}

// input writes what the host sends to a program. fd is the write end of a pipe, or
// the master of a terminal.
type input struct {
	a      *Agent
	p      *program
	fd     int // -1: closed
	buf    []byte
	wide   bool   // the pipe has been enlarged
	window uint32 // what the host may still send
	owed   uint32 // written, and not yet given back as credit
	eof    bool   // the host has sent all
	live   bool
	waits  bool // for room to write
}

// watch notices that nobody reads any more even when there is nothing to write.
func (in *input) watch() {
	if in.fd < 0 || !in.live {
		return
	}
	events := uint32(0)
	if in.waits = len(in.buf) > 0; in.waits {
		events = unix.EPOLLOUT
	}
	in.a.poll.watch(in.fd, events, in.ready)
}

func (in *input) ready(events uint32) {
	if events&unix.EPOLLOUT != 0 {
		in.write()
	} else if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		in.close()
	}
}

// receive takes data of the host; false when it had no credit for it.
func (in *input) receive(data []byte) bool {
	if in.eof || uint32(len(data)) > in.window {
		return false
	}
	in.window -= uint32(len(data))
	if in.fd < 0 { // was closed while this was under way
		return true
	}
	in.buf = append(in.buf, data...)
	in.write()
	return true
}

func (in *input) write() {
	for in.fd >= 0 && len(in.buf) > 0 {
		n, err := writeNow(in.fd, in.buf)
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN && !in.wide && in.p.terminal < 0 {
			in.wide = true
			widen(in.fd)
			continue
		}
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			in.close()
			return
		}
		in.owed += uint32(n)
		in.buf = in.buf[:copy(in.buf, in.buf[n:])]
	}
	in.giveBack()
	if in.eof && len(in.buf) == 0 {
		in.close()
	} else if (len(in.buf) > 0) != in.waits {
		in.watch()
	}
}

// giveBack sends credit for what was written, in portions that are worth a frame.
func (in *input) giveBack() {
	n := in.owed
	if n < wire.InputWindow/4 || in.eof {
		return
	}
	in.window, in.owed = in.window+n, 0
	in.a.port.frame(wire.Header{Kind: wire.KindCredit, ID: in.p.id}, func(b []byte) []byte {
		return append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	})
}

// end takes the host's end of file.
func (in *input) end() bool {
	if in.eof {
		return false
	}
	in.eof = true
	if in.fd >= 0 && len(in.buf) == 0 {
		in.close()
	}
	return true
}

func (in *input) close() {
	if in.fd < 0 {
		return
	}
	in.a.poll.unwatch(in.fd)
	unix.Close(in.fd)
	in.fd, in.buf = -1, nil
	in.p.streamClosed(0, in.live)
}
