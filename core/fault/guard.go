package fault

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
)

// report takes the text of a recovered panic; nil drops it.
var report atomic.Pointer[func(string)]

// OnPanic sets where recovered panics are reported.
func OnPanic(f func(string)) { report.Store(&f) }

// Go starts a goroutine whose panic does not take the host process down. name
// says in the report whose it was.
func Go(name string, f func()) {
	go func() {
		defer Recover(name)
		f()
	}()
}

// Recover, deferred, ends a panic and reports it.
func Recover(name string) {
	if r := recover(); r != nil {
		if f := report.Load(); f != nil {
			(*f)(fmt.Sprintf("panic in %s: %v\n%s", name, r, debug.Stack()))
		}
	}
}
