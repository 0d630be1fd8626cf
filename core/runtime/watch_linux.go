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
	owner := s.ownerGone
	process, err := launch.OpenProcess(s.cfg.OwnerPid)
	if err != nil || os.Getppid() != s.cfg.OwnerPid {
		close(owner) // it died before we looked
	} else {
		go func() {
			<-process.Done()
			close(owner)
		}()
	}
	go s.watchOwner(owner)
	unix.SetNonblock(launch.WatchdogFD, true)
	go s.watchPipe(os.NewFile(launch.WatchdogFD, "watchdog"), owner)
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
