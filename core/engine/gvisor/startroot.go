package gvisor

import (
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/sandbox"
)

// socketMade is called when gVisor has made the control socket of the sentry that
// is about to be started; bootLock is held.
var socketMade atomic.Pointer[func()]

// rootStart asks a sentry to start its root container before the sentry is there:
// the call waits in its control socket, and the sentry goes on without a round trip
// once it has booted.
type rootStart struct {
	start func() error
	early chan error // of a start that has been asked for early
	asked bool
}

func startRoot(id string, p paths, conf *config.Config, spec *specs.Spec) *rootStart {
	address := filepath.Join(p.state, "runsc-"+id+".sock")
	s := &rootStart{early: make(chan error, 1), start: func() error {
		// Not c.Start of gVisor, which also keeps records for later commands of runsc.
		return (&sandbox.Sandbox{ID: id, ControlSocketPath: address}).StartRoot(conf, spec)
	}}
	made := func() {
		if !s.asked && listen(address) {
			s.asked = true
			go func() { s.early <- s.start() }()
		}
	}
	socketMade.Store(&made)
	return s
}

// wait is called when gVisor has booted the sentry, or failed to; it returns when
// the root container has been started.
func (s *rootStart) wait(booted bool) error {
	socketMade.Store(nil)
	switch {
	case s.asked:
		return <-s.early // fails at once when there is no sentry
	case booted:
		return s.start()
	}
	return nil
}

// listen makes connections wait for the sentry: gVisor hands its control socket over
// bound, and the sentry only then listens. False when there is no such socket here.
func listen(address string) bool {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return false
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		name, err := unix.Getsockname(fd)
		if unixName, ok := name.(*unix.SockaddrUnix); err != nil || !ok || filepath.Base(unixName.Name) != filepath.Base(address) {
			continue
		}
		return unix.Listen(fd, 1) == nil
	}
	return false
}
