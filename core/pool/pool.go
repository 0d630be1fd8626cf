// Package pool keeps members ready for whoever comes: it boots them ahead, hands each
// out once, and replaces those that end. What a member is it does not know.
//
// One rule, balance, says after each change how many boots are wanted: enough for
// all who wait, and for the pool's size. There is no goroutine but one for each
// member, which waits for its end, and no timer that repeats.
package pool

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Member is something that boots, and ends.
type Member interface {
	comparable
	Ready() <-chan struct{} // closed once it has booted, or failed to
	StartErr() error        // valid then
	Done() <-chan struct{}  // closed once nothing of it is left
	Close()                 // ends it; does not wait
}

// Options bound a pool.
type Options struct {
	Size   int           // ready members to have
	Idle   int           // ready members to keep while nobody comes
	Max    int           // members that live at a time, handed out ones too; 0: any number
	Boots  int           // boots at a time
	Shrink time.Duration // nobody has come for that long: keep only Idle; 0: never
	// Delay is how long after a member was handed out its successor is booted, unless
	// somebody waits: the first moments belong to who has got it.
	Delay time.Duration
	// First and Longest bound the pause after a boot that failed, which doubles with
	// each one. Those who wait in person do not wait for it.
	First, Longest time.Duration
}

// Info is what a pool has and has done.
type Info struct {
	Size     int // as asked for
	Ready    int
	Booting  int
	Waiting  int    // for a member
	Out      int    // handed out and still living
	Taken    uint64 // members handed out, since the pool began
	AtOnce   uint64 // of these, without waiting
	Booted   uint64
	Failed   uint64 // boots
	Lost     uint64 // ready members that ended by themselves
	InRow    int    // boots that have failed since the last good one
	LastErr  error  // of the last boot that failed
	Shrunken bool   // nobody has come for a while
}

// Pool is a pool of members. All methods are safe for concurrent use.
type Pool[M Member] struct {
	boot   func() (M, error)
	filled chan struct{} // closed once as many as wanted have booted, or a boot failed
	done   chan struct{} // closed once it is closed and no member is left that was not handed out

	mu       sync.Mutex
	o        Options
	info     Info // counters only
	ready    []M  // in the order in which they came
	starting map[M]struct{}
	booting  int // boots, those whose member is not known yet too
	own      int // members that were not handed out, and boots
	out      map[M]struct{}
	waiting  []chan result[M]
	firstErr error // of a boot before the pool was full
	shrunken bool
	closed   bool
	retry    *time.Timer // nil: no pause; boots for which nobody waits begin after it
	shrink   *time.Timer // nil: not yet full, or never shrinks
}

type result[M Member] struct {
	member M
	err    error
}

var errClosed = fault.New(fault.Closed, fault.NoStage, "the pool was closed")

// New makes a pool, which fills itself from now on. boot starts one member and
// returns at once; it is called from one of the pool's goroutines.
func New[M Member](o Options, boot func() (M, error)) *Pool[M] {
	p := &Pool[M]{
		boot: boot, o: o, filled: make(chan struct{}), done: make(chan struct{}),
		starting: map[M]struct{}{}, out: map[M]struct{}{},
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.balance()
	return p
}

// Ready is closed once the pool has had all its members ready, or a boot has failed.
func (p *Pool[M]) Ready() <-chan struct{} { return p.filled }

// StartErr is why the pool could not be filled; valid once Ready is closed.
func (p *Pool[M]) StartErr() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.firstErr
}

// Done is closed once the pool is closed and no member is left that was not handed out.
func (p *Pool[M]) Done() <-chan struct{} { return p.done }

// Info tells what the pool has.
func (p *Pool[M]) Info() Info {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.info
	i.Size, i.Ready, i.Booting, i.Waiting, i.Out = p.o.Size, len(p.ready), p.booting, len(p.waiting), len(p.out)
	i.Shrunken = p.shrunken
	return i
}

// Resize sets how many ready members to have.
func (p *Pool[M]) Resize(size int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return errClosed
	}
	p.o.Size = size
	p.balance()
	return nil
}

// Close ends all members that were not handed out, and the waiting of everybody.
// Idempotent; does not wait.
func (p *Pool[M]) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	for _, t := range []*time.Timer{p.retry, p.shrink} {
		if t != nil {
			t.Stop()
		}
	}
	for _, w := range p.waiting {
		w <- result[M]{err: errClosed}
	}
	p.waiting = nil
	for m := range p.starting {
		m.Close()
	}
	for _, m := range p.ready {
		m.Close()
	}
	p.ready = nil
	p.settle()
}

// settle closes what an event is waiting for. Called with mu held.
func (p *Pool[M]) settle() {
	if p.closed && p.own == 0 {
		closeOnce(p.done)
	}
	// Those that were taken meanwhile count.
	if p.closed || p.firstErr != nil || len(p.ready) >= p.o.Size || p.info.Booted >= uint64(p.o.Size) {
		closeOnce(p.filled)
		p.watch()
	}
}

// watch begins to wait for nobody to come. Called with mu held.
func (p *Pool[M]) watch() {
	if p.o.Shrink > 0 && p.shrink == nil && !p.closed {
		p.shrink = time.AfterFunc(p.o.Shrink, p.idle)
	}
}

// closeOnce closes a channel that is closed under the pool's lock only.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// idle lets the pool shrink until somebody comes again.
func (p *Pool[M]) idle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed && len(p.waiting) == 0 {
		p.shrunken = true
		p.balance()
	}
}

// Get hands out a member, the longest ready one, and waits for it until ctx ends.
func (p *Pool[M]) Get(ctx context.Context) (m M, err error) {
	w, m, err := p.enter()
	if w == nil {
		return m, err
	}
	select {
	case r := <-w:
		return r.member, r.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	if i := slices.Index(p.waiting, w); i >= 0 {
		p.waiting = slices.Delete(p.waiting, i, i+1)
		p.mu.Unlock()
		return m, context.Cause(ctx)
	}
	p.mu.Unlock()
	if r := <-w; r.err == nil {
		p.Put(r.member)
	}
	return m, context.Cause(ctx)
}

// enter returns a ready member, or a channel to wait on.
func (p *Pool[M]) enter() (w chan result[M], m M, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, m, errClosed
	}
	p.shrunken = false
	if p.shrink != nil {
		p.shrink.Reset(p.o.Shrink)
	}
	if len(p.ready) > 0 {
		m = p.ready[0]
		p.ready = slices.Delete(p.ready, 0, 1)
		p.info.AtOnce++
		p.hand(m)
		if p.retry == nil && p.o.Delay > 0 {
			p.pause(p.o.Delay)
		}
	} else {
		w = make(chan result[M], 1)
		p.waiting = append(p.waiting, w)
	}
	p.balance()
	return w, m, nil
}

// hand counts a member that leaves the pool. Called with mu held.
func (p *Pool[M]) hand(m M) {
	p.own--
	p.out[m] = struct{}{}
	p.info.Taken++
}

// Put takes back a member that was handed out and has not been used.
func (p *Pool[M]) Put(m M) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, living := p.out[m]; !living {
		return
	}
	delete(p.out, m)
	p.own++
	p.info.Taken--
	p.arrive(m)
}
