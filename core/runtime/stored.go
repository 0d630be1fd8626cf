package runtime

import (
	"encoding/json"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// stored is the kept record of a sandbox that outlives its runs. A nil one is a
// temporary sandbox's.
type stored struct {
	shelf *store.Shelf
	rec   store.Stored
	fresh bool // made by this run
}

// openStored finds or makes the record. The caller holds the claim on the name,
// so nobody else writes it.
func openStored(cfg *control.Config, created time.Time) (*stored, error) {
	if !cfg.Stored {
		return nil, checkNotStored(cfg)
	}
	shelf, err := store.OpenShelf(cfg.StoredDir)
	if err != nil {
		return nil, err
	}
	k := &stored{shelf: shelf, fresh: !cfg.StartAgain}
	k.rec, err = shelf.Get(cfg.Name)
	switch {
	case err != nil && fault.From(err).Code == fault.NotFound && k.fresh:
		err = k.fill(cfg, created)
	case err == nil && k.fresh:
		err = alreadyStored(cfg.Name)
	}
	if err == nil {
		k.rec.Running = true
		k.rec.Runs++
		err = shelf.Put(k.rec)
	}
	if err != nil {
		shelf.Close()
		return nil, err
	}
	failpoint.Point("stored.marked")
	return k, nil
}

// checkNotStored refuses a temporary sandbox under a stored one's name. A shelf
// that is not ours, such as in another user's $HOME, holds no names of ours.
func checkNotStored(cfg *control.Config) error {
	shelf, err := store.OpenExistingShelf(cfg.StoredDir)
	if err != nil || shelf == nil {
		return nil
	}
	defer shelf.Close()
	_, err = shelf.Get(cfg.Name)
	if err == nil {
		return alreadyStored(cfg.Name)
	}
	if fault.From(err).Code == fault.NotFound {
		return nil
	}
	return err
}

func alreadyStored(name string) error {
	return fault.New(fault.Exists, fault.StageState, "a sandbox named %q is stored: start, replace or remove it", name)
}

// fill makes the record of a new sandbox: what is of one run only is left out.
func (k *stored) fill(cfg *control.Config, created time.Time) error {
	kept := *cfg
	kept.ID, kept.StateDir, kept.StoredDir, kept.OwnerPid, kept.Detached = "", "", "", 0, false
	kept.Metrics = nil
	raw, err := json.Marshal(kept)
	k.rec = store.Stored{Name: cfg.Name, Labels: cfg.Labels, Config: raw, CreatedMS: created.UnixMilli(), CreatedBy: cfg.ID}
	return err
}

// failed takes back what openStored did, after a boot that failed.
func (k *stored) failed() {
	switch {
	case k == nil:
	case k.fresh:
		k.shelf.Withdraw(k.rec.Name) // the log stays: it says why
		k.shelf.Close()
	default:
		k.ended(handle.CauseStartFailed)
	}
}

// ended notes that the sandbox is stopped, and how that came.
func (k *stored) ended(cause uint32) {
	if k == nil {
		return
	}
	k.rec.Running, k.rec.LastCause, k.rec.EndedMS = false, cause, time.Now().UnixMilli()
	k.shelf.Put(k.rec)
	failpoint.Point("stored.cleared")
	k.shelf.Close()
}
