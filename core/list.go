package core

import (
	"slices"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// Entry is one sandbox of a state directory.
type Entry struct {
	Name                 string
	State, Engine, Flags uint32
	Pid                  int32 // 0 when it does not run
	LastCause            uint32
	Created              time.Time
	Labels               []string
}

// ListOptions says which sandboxes to list.
type ListOptions struct {
	Labels  []string // those that have all of these
	Stopped bool     // stored ones that do not run, too
	Pooled  bool     // those that wait in a pool, too
}

// List returns the sandboxes of a state directory, sorted by name. What dead ones
// left is removed.
func List(state State, o ListOptions) ([]Entry, error) {
	if err := CheckLabels(o.Labels); err != nil {
		return nil, err
	}
	entries, err := living(state)
	if err == nil && o.Stopped {
		entries, err = addStopped(entries, state)
	}
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool {
		return e.Flags&FlagPooled != 0 && !o.Pooled || slices.ContainsFunc(o.Labels, func(l string) bool { return !slices.Contains(e.Labels, l) })
	})
	slices.SortFunc(entries, func(a, b Entry) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return entries, nil
}

func living(state State) ([]Entry, error) {
	path, err := state.Resolve()
	if err != nil {
		return nil, err
	}
	root, err := store.OpenExistingRoot(path)
	if err != nil || root == nil {
		return nil, err
	}
	defer root.Close()
	sweepAll(root)
	records, err := root.List()
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(records))
	for _, rec := range records {
		e := Entry{
			Name: rec.Name, State: rec.State, Engine: engineNumber(rec.Engine), Labels: rec.Labels,
			Pid: int32(rec.Supervisor.Pid), Created: time.UnixMilli(rec.CreatedMS),
		}
		if rec.Owner.Pid != 0 {
			e.Flags |= FlagAttached
		}
		if rec.Stored {
			e.Flags |= FlagStored
		}
		if rec.Pooled {
			e.Flags |= FlagPooled
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// addStopped adds the stored sandboxes that are not among the living.
func addStopped(entries []Entry, state State) ([]Entry, error) {
	dir, err := state.ResolveStored()
	if err != nil {
		return nil, err
	}
	shelf, err := store.OpenExistingShelf(dir)
	if err != nil || shelf == nil {
		return entries, err
	}
	defer shelf.Close()
	path, err := state.Resolve()
	if err != nil {
		return nil, err
	}
	root, err := store.OpenExistingRoot(path)
	if err != nil {
		return nil, err
	}
	if root != nil {
		defer root.Close()
	}
	all, err := shelf.All()
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageState, "list")
	}
	for _, rec := range all {
		if slices.ContainsFunc(entries, func(e Entry) bool { return e.Name == rec.Name }) {
			continue
		}
		e := Entry{
			Name: rec.Name, State: handle.StateStopped, Flags: FlagStored, Labels: rec.Labels,
			LastCause: rec.LastCause, Created: time.UnixMilli(rec.CreatedMS),
		}
		if rec.Running {
			if !crashed(rec, root, shelf) {
				continue // it starts or ends right now: neither list is wrong without it
			}
			e.State, e.LastCause = handle.StateCrashed, handle.CauseCrashed
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// crashed proves that the run which marked rec did not clear its mark. A
// supervisor marks after it takes the lock and clears before it gives it up: a
// free lock between two looks at the same mark means that it died.
func crashed(rec store.Stored, root *store.Root, shelf *store.Shelf) bool {
	if root != nil {
		if _, dir, err := root.Find(rec.Name); err == nil {
			dir.Close()
			return false
		}
	}
	again, err := shelf.Get(rec.Name)
	return err == nil && again.Running && again.Runs == rec.Runs
}
