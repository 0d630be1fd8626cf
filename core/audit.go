package core

import (
	"fmt"

	"github.com/libmicrosandbox/microsandbox/core/metrics"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// Finding is one thing that the library made and that exists.
type Finding = store.Finding

// Audit sweeps a state directory and lists everything that the library made
// there and that still exists. After the last sandbox has ended the list is
// empty but for stored sandboxes.
func Audit(state State) ([]Finding, error) {
	path, err := state.Resolve()
	if err != nil {
		return nil, err
	}
	root, err := store.OpenExistingRoot(path)
	if err != nil {
		return nil, err
	}
	var out []Finding
	if root != nil {
		defer root.Close()
		sweepAll(root)
		if out, err = root.Audit(); err != nil {
			return nil, err
		}
	}
	out, err = addSlots(out, state)
	if err != nil {
		return nil, err
	}
	dir, err := state.ResolveStored()
	if err != nil {
		return nil, err
	}
	shelf, err := store.OpenExistingShelf(dir)
	if err != nil || shelf == nil {
		return out, err
	}
	defer shelf.Close()
	for _, name := range shelf.LooseLogs() {
		out = append(out, Finding{Kind: "log", Detail: fmt.Sprintf("of the failed start of %q in %s: msb rm removes it", name, dir)})
	}
	all, err := shelf.All()
	for _, rec := range all {
		out = append(out, Finding{Kind: "stored", Detail: fmt.Sprintf("%q in %s", rec.Name, dir)})
	}
	return out, err
}

// addSlots adds the slots of the metrics registry that are in use.
func addSlots(out []Finding, state State) ([]Finding, error) {
	registry, err := openMetrics(state)
	if err != nil || registry == nil {
		return out, err
	}
	defer registry.Close()
	slots, err := registry.Slots()
	for _, s := range slots {
		if s.State == metrics.Reserved || s.State == metrics.Active || s.State == metrics.Stale {
			out = append(out, Finding{
				Kind:   "metrics slot",
				Detail: fmt.Sprintf("%d, %v (sandbox %q)", s.Slot, s.State, s.Name),
				Orphan: s.OwnerDead || s.State == metrics.Stale,
			})
		}
	}
	return out, err
}
