package handle

import (
	"time"

	"github.com/libmicrosandbox/microsandbox/core/metrics"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// ensureRoot makes the state directory with its checks.
func ensureRoot(stateDir string) error {
	root, err := store.OpenRoot(stateDir)
	if err == nil {
		root.Close()
	}
	return err
}

// SweepMetrics frees the slots of dead owners.
func SweepMetrics(stateDir string) {
	registry, err := metrics.OpenExisting(stateDir)
	if err != nil {
		return
	}
	defer registry.Close()
	registry.Sweep()
}

// goneLimit bounds how long another process that sweeps the same dead sandbox is
// waited for.
const goneLimit = 10 * time.Second

// sweep takes away what the supervisor pid, which died without cleaning up, left,
// and returns when nothing of it is there any more, whoever removed it.
func (s *Sandbox) sweep(pid int) {
	root, err := store.OpenExistingRoot(s.stateDir)
	if err != nil || root == nil {
		return
	}
	defer root.Close()
	root.SweepAll()
	for _, name := range s.names() {
		for deadline := time.Now().Add(goneLimit); root.LeftBy(name, pid) && time.Now().Before(deadline); {
			time.Sleep(2 * time.Millisecond) // another sweeper is at it
			root.Sweep(name)
		}
	}
	SweepMetrics(s.stateDir)
	if s.storedDir == "" {
		return
	}
	if shelf, err := store.OpenExistingShelf(s.storedDir); err == nil && shelf != nil {
		shelf.Close() // opening it sweeps
	}
}
