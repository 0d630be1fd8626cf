package main

import (
	"math/bits"
	"sync"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// events holds an object's event objects: one for each set of events that somebody
// has asked for, of which each caller gets a handle of his own. One goroutine per
// object, started by the first msb_fd, serves them all and ends when the object is
// done; it needs no handle of the library's, so the callers' outlive msb_close.
type events struct {
	mu      sync.Mutex
	fired   uint32 // events that have happened
	serving bool
	objects [1 << 2]windows.Handle // by mask; 0 until asked for
}

// notify returns a handle that is signalled, for good, once an event of mask has
// happened.
func (o *object) notify(mask uint32) (int, error) {
	e := &o.events
	e.mu.Lock()
	defer e.mu.Unlock()
	if bits.Len32(mask) > 2 {
		return -1, fault.New(fault.Invalid, fault.StageArgument, "events %#x: unknown", mask)
	}
	shared := &e.objects[mask]
	if *shared == 0 {
		initial := uint32(0)
		if e.fired&mask != 0 {
			initial = 1
		}
		event, err := windows.CreateEvent(nil, 1, initial, nil)
		if err != nil {
			return -1, fault.Wrap(err, fault.Limit, fault.NoStage, "event for msb_fd")
		}
		*shared = event
	}
	self := windows.CurrentProcess()
	var own windows.Handle
	if err := windows.DuplicateHandle(self, *shared, self, &own, windows.SYNCHRONIZE, false, 0); err != nil {
		return -1, fault.Wrap(err, fault.Limit, fault.NoStage, "event for msb_fd")
	}
	if !e.serving {
		e.serving = true
		fault.Go("msb_fd", func() {
			<-o.Ready()
			e.fire(eventReady)
			<-o.Done()
			e.fire(eventReady | eventDone)
			e.close()
		})
	}
	return int(own), nil
}

// fire signals what these events belong to.
func (e *events) fire(happened uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.fired |= happened
	for mask, event := range e.objects {
		if event != 0 && uint32(mask)&happened != 0 {
			windows.SetEvent(event)
		}
	}
}

// close gives our handles back once everything has happened. Whoever asks later gets
// an object of his own.
func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for mask, event := range e.objects {
		if event != 0 {
			windows.CloseHandle(event)
			e.objects[mask] = 0
		}
	}
	e.serving = false
}
