package runtime

import "time"

// flushLimit is how long a relay may take for the rest once the sandbox ends.
const flushLimit = time.Second

// stopLate calls stop after the limit, unless the caller has called done by then.
func stopLate(ending <-chan struct{}, stop func()) (done func()) {
	over := make(chan struct{})
	go func() {
		select {
		case <-over:
			return
		case <-ending:
		}
		select {
		case <-over:
		case <-time.After(flushLimit):
			stop()
		}
	}()
	return func() { close(over) }
}
