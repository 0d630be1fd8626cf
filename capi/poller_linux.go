package main

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// The Go runtime opens two descriptors, for epoll and an eventfd, when it first
// needs a timer, and aborts the process when it cannot. So they are opened at
// load, where the runtime has raised the limit, and when even that fails, calls
// fail until there is room.
var (
	pollerMu    sync.Mutex
	pollerReady atomic.Bool
)

// startPoller makes timers safe to use. It comes first in each call that can be
// the first of a host.
func startPoller() error {
	if pollerReady.Load() {
		return nil
	}
	pollerMu.Lock()
	defer pollerMu.Unlock()
	spare, err := spareDescriptors(2)
	for _, fd := range spare {
		unix.Close(fd)
	}
	if err != nil {
		return fault.Wrap(err, fault.Limit, fault.NoStage, "descriptors of the Go runtime")
	}
	// A host that has closed its standard descriptors will open others in their
	// place: the runtime's must not be there.
	standard := coverStandard()
	time.AfterFunc(time.Hour, func() {}).Stop()
	for _, fd := range standard {
		unix.Close(fd)
	}
	pollerReady.Store(true)
	return nil
}

// spareDescriptors opens n descriptors above the standard ones.
func spareDescriptors(n int) (spare []int, err error) {
	for n > 0 {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			return spare, err
		}
		spare = append(spare, fd)
		if fd > unix.Stderr {
			n--
		}
	}
	return spare, nil
}

// coverStandard opens what is closed of 0, 1 and 2.
func coverStandard() []int {
	var opened []int
	for {
		fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err != nil {
			return opened
		}
		if fd > unix.Stderr {
			unix.Close(fd)
			return opened
		}
		opened = append(opened, fd)
	}
}
