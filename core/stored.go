package core

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/core/process"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// StartStored starts a stored sandbox that does not run, with the configuration
// that it was created with. Of o only Name, MsbPath, LibraryDir, State, Detached
// and StartTimeout are used. It returns at once, as Create does.
func StartStored(o Options) (*Sandbox, error) {
	if err := CheckName(o.Name); err != nil {
		return nil, err
	}
	dir, err := o.State.ResolveStored()
	if err != nil {
		return nil, err
	}
	rec, err := getStored(dir, o.Name)
	if err != nil {
		return nil, err
	}
	var cfg control.Config
	if err := json.Unmarshal(rec.Config, &cfg); err != nil || cfg.Protocol != control.Protocol {
		return nil, fault.New(fault.Unsupported, fault.StageState, "sandbox %q was stored by another version: remove it and create it again", o.Name)
	}
	cfg.Name, cfg.Stored, cfg.StoredDir, cfg.StartAgain, cfg.Detached, cfg.OwnerPid = o.Name, true, dir, true, o.Detached, os.Getpid()
	if cfg.ID, err = randomHex(12); err != nil {
		return nil, err
	}
	if cfg.BootTimeout, err = timeout("start_timeout_ms", o.StartTimeout, DefaultStart); err != nil {
		return nil, err
	}
	if cfg.StateDir, err = o.State.Resolve(); err != nil {
		return nil, err
	}
	cfg.Kernels = o.State.Kernels()
	path, err := launch.Find(o.MsbPath, o.LibraryDir)
	if err != nil {
		return nil, err
	}
	if err := openMounts(&cfg, mounts.Specs(cfg.Mounts)); err != nil {
		return nil, err
	}
	return &Sandbox{handle.Start(path, cfg, cfg.BootTimeout, nil, killed(cfg), nil)}, nil
}

func getStored(dir, name string) (store.Stored, error) {
	shelf, err := store.OpenExistingShelf(dir)
	if err != nil {
		return store.Stored{}, err
	}
	if shelf == nil {
		return store.Stored{}, fault.New(fault.NotFound, fault.StageState, "no sandbox named %q is stored in %q", name, dir)
	}
	defer shelf.Close()
	return shelf.Get(name)
}

// Remove forgets a stored sandbox that does not run.
func Remove(name string, state State) error {
	if err := CheckName(name); err != nil {
		return err
	}
	dir, err := state.ResolveStored()
	if err != nil {
		return err
	}
	path, err := state.Resolve()
	if err != nil {
		return err
	}
	root, err := store.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	// Holding the name keeps the sandbox from being started meanwhile.
	claim, err := root.Claim(ownRecord(name))
	if errors.Is(err, &fault.Error{Code: fault.Exists}) {
		return fault.New(fault.State, fault.StageState, "remove: sandbox %q is running: stop it first", name)
	}
	if err != nil {
		return err
	}
	defer claim.Remove()
	_, missing := getStored(dir, name)
	shelf, err := store.OpenExistingShelf(dir)
	if err != nil {
		return err
	}
	if shelf == nil {
		return missing
	}
	defer shelf.Close()
	if errors.Is(missing, &fault.Error{Code: fault.NotFound}) && !shelf.HasLog(name) {
		return missing
	}
	failpoint.Point("remove.claimed")
	return shelf.Delete(name)
}

// killed notes on the shelf that a stored sandbox was killed on request, which its
// supervisor could not do: it has not crashed. nil for a temporary one.
func killed(cfg control.Config) func() {
	if !cfg.Stored {
		return nil
	}
	return func() {
		onShelf(cfg, func(shelf *store.Shelf, rec store.Stored, err error) {
			if err == nil && rec.Running {
				rec.Running, rec.LastCause, rec.EndedMS = false, handle.CauseKilled, time.Now().UnixMilli()
				shelf.Put(rec)
			}
		})
	}
}

// undo forgets what a create that was given up has stored. Its supervisor may have
// come up already, or it has noticed, taken its record back and left the log of a boot
// that failed: nobody wants to read that one. Another create's record of the name stays.
func undo(cfg control.Config) func() {
	if !cfg.Stored {
		return nil
	}
	return func() {
		onShelf(cfg, func(shelf *store.Shelf, rec store.Stored, err error) {
			if rec.CreatedBy == cfg.ID || errors.Is(err, &fault.Error{Code: fault.NotFound}) {
				shelf.Delete(cfg.Name)
			}
		})
	}
}

// onShelf acts on the stored record of a sandbox that does not run, while nobody
// else can. One that runs again is left alone.
func onShelf(cfg control.Config, act func(*store.Shelf, store.Stored, error)) {
	root, err := store.OpenExistingRoot(cfg.StateDir)
	if err != nil || root == nil {
		return
	}
	defer root.Close()
	claim, err := root.Claim(ownRecord(cfg.Name))
	if err != nil {
		return
	}
	defer claim.Remove()
	shelf, err := store.OpenExistingShelf(cfg.StoredDir)
	if err != nil || shelf == nil {
		return
	}
	defer shelf.Close()
	rec, err := shelf.Get(cfg.Name)
	act(shelf, rec, err)
}

// ownRecord is the record of a name that this process holds for a moment.
func ownRecord(name string) store.Record {
	self, _ := process.Self()
	return store.Record{Name: name, Supervisor: self, Owner: self, Momentary: true, CreatedMS: time.Now().UnixMilli()}
}

// clear ends and forgets the sandbox that has the name of cfg: TERM, grace, KILL.
func clear(ctx context.Context, cfg control.Config, grace time.Duration) error {
	state := State{Dir: cfg.StateDir}
	old, err := Open(ctx, cfg.Name, state)
	switch {
	case err == nil:
		defer old.Close()
		if err := end(ctx, old, grace); err != nil {
			return err
		}
	case errors.Is(err, &fault.Error{Code: fault.NotFound}):
	default: // it starts, ends or hangs: it does not serve its socket
		if err := endSilent(cfg); err != nil {
			return err
		}
	}
	failpoint.Point("replace.ended")
	if cfg.StoredDir == "" {
		return nil
	}
	shelf, err := store.OpenShelf(cfg.StoredDir)
	if err != nil {
		return err
	}
	defer shelf.Close()
	err = shelf.Delete(cfg.Name)
	failpoint.Point("replace.forgotten")
	return err
}

// endSilent kills the supervisor of a name that cannot be asked to stop.
func endSilent(cfg control.Config) error {
	root, err := store.OpenExistingRoot(cfg.StateDir)
	if err != nil || root == nil {
		return err
	}
	defer root.Close()
	return root.End(cfg.Name)
}

// end stops a sandbox and waits until it is gone.
func end(ctx context.Context, sb *Sandbox, grace time.Duration) error {
	if err := sb.Stop(grace); err != nil && !errors.Is(err, &fault.Error{Code: fault.Done}) {
		return err
	}
	select {
	case <-sb.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
