package main

import (
	"context"
	"sync"
	"time"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// callLimit bounds calls that ask the supervisor and have no timeout argument.
const callLimit = 10 * time.Second

// running is what sandboxes and programs have in common.
type running interface {
	Ready() <-chan struct{}
	Done() <-chan struct{}
	StartErr() error
	Outcome() core.Outcome
	Close()
}

// object is what a handle stands for: a sandbox, a program or a pool, and who waits on it.
type object struct {
	running
	sandbox *core.Sandbox // one of the two,
	process *core.Process // or none: a pool

	closed chan struct{} // closed by msb_close

	mu       sync.Mutex
	canceled chan struct{} // closed and replaced by msb_cancel

	events events
}

func newObject(r running) *object {
	o := &object{running: r, closed: make(chan struct{}), canceled: make(chan struct{})}
	switch v := r.(type) {
	case *core.Sandbox:
		o.sandbox = v
	case *core.Process:
		o.process = v
	}
	return o
}

var handles = newTable[*object]()

// register gives r a handle. Without one r is closed: nobody could reach it.
func register(k kind, r running) (uint64, *object, error) {
	o := newObject(r)
	h := handles.add(k, o)
	if h == 0 {
		r.Close()
		return 0, nil, fault.New(fault.Limit, fault.NoStage, "no handle is left: close some")
	}
	return h, o, nil
}

// find returns the object of a live handle of any kind.
func find(h uint64) (*object, error) {
	o, ok := handles.get(h)
	if !ok {
		return nil, fault.New(fault.Handle, fault.StageArgument, "%#x is not a live handle: it was closed or never given out", h)
	}
	return o, nil
}

func findSandbox(h uint64) (*object, error) {
	o, err := find(h)
	if err == nil && o.sandbox == nil {
		return nil, fault.New(fault.Handle, fault.StageArgument, "%#x is no sandbox's handle: one is needed", h)
	}
	return o, err
}

// findEnding returns the object of a sandbox or program: what ends by itself.
func findEnding(h uint64) (*object, error) {
	o, err := find(h)
	if err == nil && o.sandbox == nil && o.process == nil {
		return nil, fault.New(fault.Handle, fault.StageArgument, "%#x is a pool's handle: a sandbox's or program's is needed", h)
	}
	return o, err
}

func findProcess(h uint64) (*object, error) {
	o, err := find(h)
	if err == nil && o.process == nil {
		return nil, fault.New(fault.Handle, fault.StageArgument, "%#x is no program's handle: one is needed", h)
	}
	return o, err
}

// closeHandle makes h invalid, wakes who is blocked on it and gives the object back.
func closeHandle(h uint64) error {
	o, ok := handles.remove(h)
	if !ok {
		return fault.New(fault.Handle, fault.StageArgument, "%#x is not a live handle", h)
	}
	close(o.closed)
	o.Close()
	if o.process == nil { // a program leaves little
		trimLater()
	}
	return nil
}

// cancel wakes the calls that are blocked on the object now.
func (o *object) cancel() {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.canceled)
	o.canceled = make(chan struct{})
}

func (o *object) cancelSignal() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.canceled
}

func errCanceled() error { return fault.New(fault.Canceled, fault.NoStage, "canceled by msb_cancel") }

func errClosed() error {
	return fault.New(fault.Closed, fault.NoStage, "the handle was closed during the call")
}

// await waits for event: for ever when timeout is negative. The event is tested
// before the timeout, so 0 polls.
func (o *object) await(event <-chan struct{}, timeout time.Duration) error {
	canceled := o.cancelSignal()
	select {
	case <-event:
		return nil
	default:
	}
	if timeout == 0 {
		return fault.New(fault.TimedOut, fault.NoStage, "not yet: the timeout is 0")
	}
	var expired <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-event:
		return nil
	case <-o.closed:
		return errClosed()
	case <-canceled:
		return errCanceled()
	case <-expired:
		return fault.New(fault.TimedOut, fault.NoStage, "not within %v", timeout)
	}
}

// ask runs f with a context that ends after limit, by msb_cancel or by msb_close.
func (o *object) ask(limit time.Duration, f func(context.Context) error) error {
	ctx, end := context.WithCancelCause(context.Background())
	defer end(nil)
	canceled := o.cancelSignal()
	fault.Go("capi call", func() {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		select {
		case <-ctx.Done():
		case <-o.closed:
			end(errClosed())
		case <-canceled:
			end(errCanceled())
		case <-timer.C:
			end(fault.New(fault.TimedOut, fault.StageControl, "the supervisor did not answer within %v", limit))
		}
	})
	err := f(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
