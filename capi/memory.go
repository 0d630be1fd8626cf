// Go would keep two files of the control group open in the host, to look up its limit of
// processors again and again: see maxProcessors.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

package main

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// gcPercent keeps the heap of a library that lives in somebody's process close to
// what is in use: the default lets it grow to 4 MB before the first collection,
// and a host would see that as a leak.
const gcPercent = 20

// maxProcessors bounds how many of the library's goroutines compute at once, and what Go
// keeps for each processor: it has little to do, on a machine with many, too.
const maxProcessors = 8

func init() {
	debug.SetGCPercent(gcPercent)
	runtime.GOMAXPROCS(min(runtime.GOMAXPROCS(0), maxProcessors))
}

// trimDelay is for how long no sandbox has been closed when the host gets back what
// the library does not use: closing one after another is not slowed.
const trimDelay = 250 * time.Millisecond

var trimmer = sync.OnceValue(func() *time.Timer { return time.AfterFunc(trimDelay, trim) })

// trimLater gives memory back to the host soon after the last of many closes.
func trimLater() { trimmer().Reset(trimDelay) }

func trim() {
	settle()
	runtime.GC() // what sync.Pool holds goes with the second collection
	debug.FreeOSMemory()
}

// settledGoroutines is what Go's scheduler comes to keep of ended goroutines for each
// of a few processors: up to 64.
const settledGoroutines = 128

// settle brings the Go runtime to the size that it comes to after some hundred
// sandboxes, 0.2 MB more: its lists of ended goroutines are filled, and its second set of mark
// bits is there. A host that watches its memory then sees a flat line.
var settle = sync.OnceFunc(func() {
	started := make(chan struct{})
	for range settledGoroutines {
		go func() { <-started }()
	}
	close(started)
	runtime.GC()
	runtime.GC()
})
