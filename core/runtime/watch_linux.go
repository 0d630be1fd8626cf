package runtime

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/launch"
)

// watch starts what can end the sandbox from outside: the owner and signals.
// These goroutines live as long as the process.
func (s *supervisor) watch() {
	s.awaitOwner()
	unix.SetNonblock(launch.WatchdogFD, true)
	go s.watchPipe(os.NewFile(launch.WatchdogFD, "watchdog"))
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGUSR1)
	go func() {
		for sig := range signals {
			if sig == syscall.SIGTERM {
				s.end(handle.CauseStopped, -1)
			} else {
				s.drain(-1)
			}
		}
	}()
}

// untie frees the process from its owner: here only we watch him.
func (s *supervisor) untie() error { return nil }
