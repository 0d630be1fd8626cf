package pool

import (
	"slices"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// balance starts as many boots as are wanted and allowed, and closes what is too
// much. Called with mu held.
func (p *Pool[M]) balance() {
	if p.closed {
		return
	}
	keep := p.o.Size
	if p.shrunken {
		keep = min(keep, p.o.Idle)
	}
	for len(p.ready) > keep {
		m := p.ready[0]
		p.ready = slices.Delete(p.ready, 0, 1)
		m.Close()
	}
	for p.booting < p.o.Boots && len(p.ready)+p.booting < keep+len(p.waiting) {
		if p.o.Max > 0 && p.own+len(p.out) >= p.o.Max {
			break
		}
		if p.retry != nil && p.booting >= len(p.waiting) {
			break // nobody waits: after the pause
		}
		p.booting++
		p.own++
		fault.Go("pool", p.bootOne)
	}
	p.settle()
}

// bootOne boots a member and stays with it until it has ended.
func (p *Pool[M]) bootOne() {
	m, err := p.boot()
	if err != nil {
		p.failed(err)
		return
	}
	p.mu.Lock()
	p.starting[m] = struct{}{}
	if p.closed {
		m.Close()
	}
	p.mu.Unlock()
	<-m.Ready()
	err = m.StartErr()
	if err != nil {
		m.Close()
		<-m.Done()
	}
	p.mu.Lock()
	delete(p.starting, m)
	p.mu.Unlock()
	if err != nil {
		p.failed(err)
		return
	}
	p.booted(m)
	<-m.Done()
	p.ended(m)
}

// booted takes in a new member.
func (p *Pool[M]) booted(m M) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.booting--
	p.info.Booted++
	p.info.InRow = 0
	p.resume()
	p.arrive(m)
}

// arrive gives a member to who waits longest, or keeps it. Called with mu held.
func (p *Pool[M]) arrive(m M) {
	switch {
	case p.closed:
		m.Close()
	case isClosed(m.Done()):
	case len(p.waiting) > 0:
		w := p.waiting[0]
		p.waiting = slices.Delete(p.waiting, 0, 1)
		p.hand(m)
		w <- result[M]{member: m}
	default:
		p.ready = append(p.ready, m)
	}
	p.balance()
	p.settle()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// failed takes note of a boot that failed. Who waits and has no other boot on the
// way is told: it would have come out of a create of theirs just so.
func (p *Pool[M]) failed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.booting--
	p.own--
	if !p.closed {
		p.info.Failed++
		p.info.InRow++
		p.info.LastErr = err
		select {
		case <-p.filled:
		default:
			p.firstErr = err
		}
		if len(p.waiting) > p.booting {
			w := p.waiting[0]
			p.waiting = slices.Delete(p.waiting, 0, 1)
			w <- result[M]{err: err}
		}
		delay := p.o.First << min(p.info.InRow-1, 30)
		if delay <= 0 || delay > p.o.Longest {
			delay = p.o.Longest
		}
		p.resume()
		p.pause(delay)
	}
	p.balance()
	p.settle()
}

// pause holds back boots for which nobody waits. Called with mu held.
func (p *Pool[M]) pause(delay time.Duration) {
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.retry == timer {
			p.retry = nil
			p.balance()
		}
	})
	p.retry = timer
}

// resume ends the pause. Called with mu held.
func (p *Pool[M]) resume() {
	if p.retry != nil {
		p.retry.Stop()
		p.retry = nil
	}
}

// ended forgets a member, handed out or not.
func (p *Pool[M]) ended(m M) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.ready, m); i >= 0 {
		p.ready = slices.Delete(p.ready, i, i+1)
		p.info.Lost++
	}
	if _, out := p.out[m]; out {
		delete(p.out, m)
	} else {
		p.own--
	}
	p.balance()
	p.settle()
}
