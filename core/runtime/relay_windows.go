package runtime

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/windows"
)

// relay copies from a program's pipe to a handle or into the log. Its goroutine, which has a thread
// of its own, ends at end of file, at an error, or at stop.
type relay struct {
	which       int
	log         programLog
	output      *allowance
	pipe, event windows.Handle
	to          windows.Handle // 0: the log

	mu        sync.Mutex
	changed   *sync.Cond
	read      windows.Overlapped // the read in progress
	reading   bool
	delivered uint64 // bytes
	stopped   bool
	ended     bool
}

// relayBytes is the size of one read, and of the pipe.
const relayBytes = 64 << 10

func newRelay(which int, pipe, event, to windows.Handle, output *allowance, log programLog) *relay {
	r := &relay{which: which, log: log, output: output, pipe: pipe, event: event, to: to}
	r.changed = sync.NewCond(&r.mu)
	if to == 0 {
		r.log.open.add(1)
	}
	go r.run()
	return r
}

func (r *relay) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.reading {
		windows.CancelIoEx(r.pipe, &r.read)
	}
	r.changed.Broadcast() // its write may wait for a reader for ever
}

func (r *relay) run() {
	buf := make([]byte, relayBytes)
	for r.begin(buf) {
		n, err := r.finish()
		if err != nil {
			break
		}
		if !r.deliver(buf[:r.output.take(n)]) {
			break
		}
		r.mu.Lock()
		r.delivered += uint64(n)
		r.mu.Unlock()
		r.changed.Broadcast()
	}
	if r.to == 0 {
		r.log.open.add(-1)
	} else {
		windows.CloseHandle(r.to)
	}
	r.mu.Lock()
	r.ended = true
	windows.CloseHandle(r.pipe)
	windows.CloseHandle(r.event)
	r.mu.Unlock()
	r.changed.Broadcast()
}

// deliver may wait for the reader of a full pipe.
func (r *relay) deliver(data []byte) bool {
	if r.to == 0 {
		r.log.write(r.which, data)
		return true
	}
	for len(data) > 0 {
		var n uint32
		if err := windows.WriteFile(r.to, data, &n, nil); err != nil {
			return false
		}
		data = data[n:]
	}
	return true
}

// begin starts a read.
func (r *relay) begin(buf []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return false
	}
	windows.ResetEvent(r.event)
	r.read = windows.Overlapped{HEvent: r.event}
	err := windows.ReadFile(r.pipe, buf, nil, &r.read)
	r.reading = err == nil || err == windows.ERROR_IO_PENDING
	r.changed.Broadcast()
	return r.reading
}

// finish waits for it.
func (r *relay) finish() (int, error) {
	_, err := windows.WaitForSingleObject(r.event, windows.INFINITE)
	r.mu.Lock()
	defer r.mu.Unlock()
	var n uint32
	if err == nil {
		err = windows.GetOverlappedResult(r.pipe, &r.read, &n, true)
	}
	r.reading = false
	return int(n), err
}

// idle reports whether the pipe is empty: then the read in progress still waits.
// Called with mu held.
func (r *relay) idle() bool {
	const statusPending = 0x103
	return r.reading && atomic.LoadUintptr(&r.read.Internal) == statusPending
}

// flush waits until everything that is in the pipe now is in the log, or the sandbox
// ends: then for flushLimit at most. What others write meanwhile is not waited for: no
// more than the pipe and one read hold.
func (r *relay) flush(ending <-chan struct{}) {
	defer stopLate(ending, r.stop)()
	r.mu.Lock()
	defer r.mu.Unlock()
	most := r.delivered + 2*relayBytes
	for !r.ended && !r.stopped && !r.idle() && r.delivered < most {
		r.changed.Wait()
	}
}
