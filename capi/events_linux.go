package main

import (
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/launch"
)

// events holds the write ends of an object's msb_fd pipes. One goroutine per
// object, started by the first msb_fd, serves them all and ends when the object
// is done; it needs no handle, so the pipes outlive msb_close.
type events struct {
	mu      sync.Mutex
	fired   uint32 // events that have happened
	serving bool
	waiting []waiter
	sweepAt int // number of waiters at which dead ones are looked for
}

type waiter struct {
	fd   int
	mask uint32
}

// minSweep is the number of pipes below which no reader's end is looked for.
const minSweep = 16

// notify returns the read end of a new pipe that gets one byte, then end of
// file, once an event of mask has happened.
func (o *object) notify(mask uint32) (int, error) {
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return -1, fault.Wrap(err, fault.Limit, fault.NoStage, "pipe for msb_fd")
	}
	e := &o.events
	e.mu.Lock()
	defer e.mu.Unlock()
	e.add(waiter{fd: ends[1], mask: mask})
	if !e.serving {
		e.serving = true
		fault.Go("msb_fd", func() {
			<-o.Ready()
			e.fire(eventReady)
			<-o.Done()
			e.fire(eventReady | eventDone)
		})
	}
	return ends[0], nil
}

// add keeps w until its event, or serves it at once. A caller may drop its read
// end and ask again any number of times, so the ends that nobody reads any more
// are closed whenever their number may have doubled. The caller holds mu.
func (e *events) add(w waiter) {
	if e.fired&w.mask != 0 {
		fault.Go("msb_fd", func() { signalAndClose(w.fd) })
		return
	}
	if len(e.waiting) >= max(e.sweepAt, minSweep) {
		e.sweep()
		e.sweepAt = 2 * len(e.waiting)
	}
	e.waiting = append(e.waiting, w)
}

// sweep closes the pipes whose readers are gone. The caller holds mu.
func (e *events) sweep() {
	poll := make([]unix.PollFd, len(e.waiting))
	for i, w := range e.waiting {
		poll[i].Fd = int32(w.fd)
	}
	if _, err := unix.Poll(poll, 0); err != nil {
		return
	}
	kept := e.waiting[:0]
	for i, w := range e.waiting {
		if poll[i].Revents&unix.POLLERR != 0 {
			syscall.Close(w.fd)
			continue
		}
		kept = append(kept, w)
	}
	e.waiting = kept
}

// fire serves every waiter of these events.
func (e *events) fire(happened uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fired |= happened
	kept := e.waiting[:0]
	for _, w := range e.waiting {
		if w.mask&happened != 0 {
			signalAndClose(w.fd)
			continue
		}
		kept = append(kept, w)
	}
	e.waiting = kept
}

// signalAndClose writes before it closes: a process that the host forked
// meanwhile may hold a copy of the write end, and then there is no end of file.
// It must run on a goroutine of its own, not inside a call from the host: the
// SIGPIPE of a pipe without a reader goes to the writing thread. Go's own have
// it blocked; it is taken back at once, as it would stay pending on the thread.
func signalAndClose(fd int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, err := syscall.Write(fd, []byte{1})
	if err == syscall.EPIPE {
		launch.TakeSIGPIPE()
	}
	syscall.Close(fd)
}
