package handle

import (
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

// sweep takes away what a supervisor that died without cleaning up left.
func sweep(stateDir, storedDir string) {
	root, err := store.OpenExistingRoot(stateDir)
	if err != nil || root == nil {
		return
	}
	defer root.Close()
	root.SweepAll()
	SweepMetrics(stateDir)
	if storedDir == "" {
		return
	}
	if shelf, err := store.OpenExistingShelf(storedDir); err == nil && shelf != nil {
		shelf.Close() // opening it sweeps
	}
}
