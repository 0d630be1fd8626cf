package qemu

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// rdtsc reads the processor's time stamp counter.
func rdtsc() uint64

// tscKHz measures the counter's rate against the clock that nobody adjusts, for 10 ms.
// Under software emulation the guest's counter is the host's: a guest that has to find
// out its rate by itself fails to do so when it is preempted, and hangs.
var tscKHz = sync.OnceValue(func() uint64 {
	const span = 10 * time.Millisecond
	best, shortest := uint64(0), time.Duration(1<<62)
	for range 5 {
		t0, c0 := monotonicRaw(), rdtsc()
		for monotonicRaw()-t0 < span/5 {
		}
		// The pair of readings is as good as the time between them is short.
		a := monotonicRaw()
		c1 := rdtsc()
		gap := monotonicRaw() - a
		if gap < shortest && a > t0 {
			best, shortest = (c1-c0)*uint64(time.Millisecond)/uint64(a-t0), gap
		}
	}
	return best
})

func monotonicRaw() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
