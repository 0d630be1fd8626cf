package runtime

import "sync"

// allowance is how much a program may still write to stdout and stderr together. A
// nil one is without end.
type allowance struct {
	mu   sync.Mutex
	left uint64
	over func() // called once, when more has come
}

// newAllowance returns nil for a limit of 0, which is none.
func newAllowance(limit uint64, over func()) *allowance {
	if limit == 0 {
		return nil
	}
	return &allowance{left: limit, over: over}
}

// take returns how many of n bytes that were written are allowed.
func (a *allowance) take(n int) int {
	if a == nil {
		return n
	}
	a.mu.Lock()
	allowed := int(min(uint64(n), a.left))
	a.left -= uint64(allowed)
	over := a.over
	if allowed < n {
		a.over = nil
	}
	a.mu.Unlock()
	if allowed < n && over != nil {
		over()
	}
	return allowed
}
