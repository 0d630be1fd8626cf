package agent

import (
	"context"
	"encoding/binary"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// output writes what comes on a stream of a program to a file. The receiver never
// waits for the file: the guest sends no more than it has credit for, and gets new
// credit for what has been written. What a pipe takes at once the receiver writes itself,
// which saves two switches between goroutines for each frame.
type output struct {
	p       *Process
	stream  uint8
	file    *os.File // nil: what comes is dropped
	pipe    bool     // file is one: a write to it that does not wait takes no time
	wake    chan struct{}
	changed chan struct{} // for settle

	mu        sync.Mutex
	buf       []byte // received, not yet taken by run
	busy      bool   // run has taken something, and has not written all of it
	received  uint64
	delivered uint64
	window    uint32 // what the guest may still send
	blocked   bool   // the file takes no more for now
	ended     bool   // the guest has said so
	aborted   bool   // the machine has ended
	finished  bool   // nothing will be written any more
}

func newOutput(p *Process, stream uint8, file *os.File) *output {
	return &output{
		p: p, stream: stream, file: file, window: wire.Window, pipe: isPipe(file),
		wake: make(chan struct{}, 1), changed: make(chan struct{}, 1),
	}
}

func isPipe(f *os.File) bool {
	if f == nil {
		return false
	}
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeNamedPipe != 0
}

func rouse(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// What the receiver calls.

func (o *output) receive(payload []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := uint32(len(payload))
	if o.ended || n > o.window {
		return wire.Error("data without credit")
	}
	o.window -= n
	o.received += uint64(n)
	payload = payload[o.writeNow(payload):]
	o.buf = append(o.buf, payload...)
	if len(payload) > 0 || o.owed() >= wire.Window/4 {
		rouse(o.wake)
	}
	return nil
}

// writeNow writes what the file takes without waiting, unless something else is to be
// written before. Failures are left to run. The caller holds mu.
func (o *output) writeNow(payload []byte) int {
	if !o.pipe || o.file == nil || o.busy || len(o.buf) > 0 {
		return 0
	}
	raw, err := o.file.SyscallConn()
	if err != nil {
		return 0
	}
	var n int
	raw.Control(func(fd uintptr) { n, _ = unix.Write(int(fd), payload) })
	if n <= 0 {
		return 0
	}
	o.delivered += uint64(n)
	rouse(o.changed)
	return n
}

// owed is the credit that the guest has not got back. The caller holds mu.
func (o *output) owed() uint32 { return wire.Window - o.window - uint32(o.received-o.delivered) }

func (o *output) end() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return wire.Error("stream ended twice")
	}
	o.ended = true
	rouse(o.wake)
	return nil
}

// abort ends it with the machine: run writes what the file takes at once.
func (o *output) abort() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.aborted = true
	rouse(o.wake)
	if o.file != nil {
		o.file.SetWriteDeadline(time.Unix(1, 0))
	}
}

// discard closes what was never run.
func (o *output) discard() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finished = true
	if o.file != nil {
		o.file.Close()
	}
}

// run writes until the stream has ended, the file cannot be written, or the machine
// has ended.
func (o *output) run() {
	var spare []byte
	for {
		chunk, last := o.next(spare)
		if len(chunk) > 0 && !o.deliver(chunk) {
			o.refuse()
		}
		if last {
			break
		}
		spare = chunk[:0]
	}
	if o.file != nil {
		o.file.Close()
	}
	o.mu.Lock()
	o.finished, o.buf = true, nil
	o.mu.Unlock()
	rouse(o.changed)
}

// next waits for data, and tells whether it is the last. Meanwhile it gives credit for
// what the receiver writes.
func (o *output) next(spare []byte) (chunk []byte, last bool) {
	for {
		o.mu.Lock()
		o.busy = len(o.buf) > 0
		if o.busy || o.ended || o.aborted {
			chunk, o.buf = o.buf, spare
			last = o.ended || o.aborted
			o.mu.Unlock()
			return chunk, last
		}
		o.mu.Unlock()
		o.grant()
		<-o.wake
	}
}

// deliver writes a chunk; false: the file takes nothing any more.
func (o *output) deliver(chunk []byte) bool {
	for len(chunk) > 0 {
		n := len(chunk)
		if o.file != nil {
			var err error
			if n, err = o.write(chunk); err != nil {
				return false
			}
		}
		chunk = chunk[n:]
		o.mu.Lock()
		o.delivered += uint64(n)
		o.mu.Unlock()
		rouse(o.changed)
		o.grant()
	}
	return true
}

// write writes a part of b. While the file takes nothing, blocked is set.
func (o *output) write(b []byte) (n int, err error) {
	raw, err := o.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var result error
	try := func(fd uintptr) bool {
		for n, result = unix.Write(int(fd), b); result == unix.EINTR; n, result = unix.Write(int(fd), b) {
		}
		o.setBlocked(result == unix.EAGAIN)
		return result != unix.EAGAIN
	}
	if err := raw.Write(try); err != nil {
		// The machine has ended: what can be written now is, the rest is lost.
		if err := raw.Control(func(fd uintptr) { try(fd) }); err != nil {
			return 0, err
		}
	}
	return max(n, 0), result
}

func (o *output) setBlocked(blocked bool) {
	o.mu.Lock()
	changed := o.blocked != blocked
	o.blocked = blocked
	o.mu.Unlock()
	if changed {
		rouse(o.changed)
	}
}

// grant sends credit for what was delivered, in portions that are worth a frame.
func (o *output) grant() {
	o.mu.Lock()
	over := o.ended || o.aborted
	owed := o.owed()
	if over || owed < wire.Window/4 {
		o.mu.Unlock()
		return
	}
	o.window += owed
	o.mu.Unlock()
	header := wire.Header{Kind: wire.KindCredit, Stream: o.stream, ID: o.p.id}
	o.p.c.send(context.Background(), frame(header, func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, owed) }))
}

// refuse tells the guest that nobody reads, and drops what it had sent before it knew.
func (o *output) refuse() {
	header := wire.Header{Kind: wire.KindClose, Stream: o.stream, ID: o.p.id}
	o.p.c.send(context.Background(), frame(header, nothing))
	o.mu.Lock()
	o.file.Close()
	o.file, o.finished = nil, true
	o.mu.Unlock()
	rouse(o.changed)
}

// settle waits until the first target bytes of the stream have been written, as far as
// they can be. Once hurry is closed it does not wait for a file that takes nothing.
func (o *output) settle(target uint64, hurry <-chan struct{}) {
	patience := o.p.c.options.RequestTimeout // with a guest that owes what it said was written
	late := time.NewTimer(patience)
	defer late.Stop()
	hurried, seen := false, uint64(0)
	for {
		o.mu.Lock()
		done := o.delivered >= target || o.finished || o.blocked && hurried
		owed, received := o.received < target, o.received
		o.mu.Unlock()
		if done {
			return
		}
		if received != seen || !owed {
			late.Reset(patience)
			seen = received
		}
		select {
		case <-o.changed:
		case <-hurry:
			hurried, hurry = true, nil
		case <-late.C:
			if owed {
				return
			}
		}
	}
}
