package gvisor

import (
	"context"
	"sync"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
)

// sleepState is what the supervisor knows about the guest's sleep.
type sleepState struct {
	mu    sync.Mutex
	awake chan struct{} // of the present sleep, closed at its end; nil while the guest may run
}

// Asleep returns nil while code of the guest may run, else what is closed when it
// runs again.
func (s *sleepState) Asleep() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.awake == nil {
		return nil
	}
	return s.awake
}

func (s *sleepState) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.awake = make(chan struct{})
}

func (s *sleepState) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.awake != nil {
		close(s.awake)
		s.awake = nil
	}
}

const (
	// sleepLook is the pause between two looks at a guest that sleeps: who wakes up
	// tells. The look is for a sentry that does not.
	sleepLook = 5 * time.Second
	// sleepAnswer bounds the wait for the sentry's promise to tell.
	sleepAnswer = 50 * time.Millisecond
)

// sleep returns true when the guest stirs after a time in which nothing of it ran.
// Else the guard has a reason to look: it returns false at once when the sentry
// promises nothing or the guest has taken memory meanwhile.
func (g *memoryGuard) sleep(m *machine, used uint64) (stirred bool) {
	select {
	case <-m.lineage.stirred: // of before
	default:
	}
	ctx, cancel := context.WithTimeout(g.running, sleepAnswer)
	defer cancel()
	if m.lineage.call(ctx, wire.Watch, 0) != nil || !g.uses(used) {
		return false // what it took before the promise is seen now
	}
	g.guest.begin()
	defer g.guest.end()
	timer := time.NewTicker(sleepLook)
	defer timer.Stop()
	for {
		select {
		case <-m.lineage.stirred:
			return true
		case <-timer.C:
			if !g.uses(used) {
				return false
			}
		case <-g.kick:
			return false
		case <-m.done:
			return false
		case <-g.running.Done():
			return false
		}
	}
}

// uses tells whether the machine's memory is still what it was, give or take what
// the sentry's own housekeeping does.
func (g *memoryGuard) uses(before uint64) bool {
	const little = 1 << 20
	now, err := g.used()
	return err == nil && now <= before+little
}
