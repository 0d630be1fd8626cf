package control

import (
	"context"
	"time"
)

// SetDeadline bounds blocked and later calls; the zero time lifts it.
func (c *Conn) SetDeadline(t time.Time) error { return c.file.SetDeadline(t) }

// begin waits until no other caller sends a frame, or ctx ends; finish lets the next
// one send.
func (c *Conn) begin(ctx context.Context) error {
	select {
	case c.send <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if ctx.Err() != nil {
		c.finish()
		return context.Cause(ctx)
	}
	return nil
}

func (c *Conn) finish() { <-c.send }

// wakeAt lets a blocked call return at the end of ctx, by a deadline in the past.
// What it returns undoes that, and reports whether ctx had ended.
func wakeAt(ctx context.Context, setDeadline func(time.Time) error) (ended func() bool) {
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		setDeadline(time.Unix(1, 0))
		close(woken)
	})
	return func() bool {
		if stop() {
			return false
		}
		<-woken
		setDeadline(time.Time{})
		return true
	}
}
