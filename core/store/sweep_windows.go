package store

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/dir"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// List returns the records of the living sandboxes, and takes away what dead
// ones left.
func (r *Root) List() ([]Record, error) {
	entries, err := r.entries()
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, entry := range entries {
		if r.sweepEntry(entry) {
			continue
		}
		if rec, err := r.read(entry); err == nil && rec.living() {
			records = append(records, rec)
		}
	}
	return records, nil
}

// Find returns the record and open directory (the caller's to close) of a
// living sandbox; NotFound when there is none.
func (r *Root) Find(name string) (Record, *os.File, error) {
	entry := key(name)
	if !r.sweepEntry(entry) {
		rec, err := r.read(entry)
		if err == nil && rec.Name == name && rec.living() {
			if d, err := winsys.OpenDir(filepath.Join(r.dir, entry)); err == nil {
				return rec, d, nil
			}
		}
	}
	return Record{}, nil, NotFound(name, r.path)
}

// Sweep removes what the dead sandbox of this name left; false when it lives.
func (r *Root) Sweep(name string) bool { return r.sweepEntry(key(name)) }

// sweepEntry removes an entry whose supervisor is dead and reports whether it is
// gone. A lock that can be taken proves death.
func (r *Root) sweepEntry(entry string) bool {
	lock, err := r.take(entry, false)
	if errors.Is(err, errHeld) {
		return false
	}
	if err != nil {
		return os.IsNotExist(err)
	}
	err = r.clean(entry)
	lock.Close()
	r.rmdir(entry)
	return err == nil
}

// SweepAll removes what dead sandboxes left.
func (r *Root) SweepAll() error {
	entries, err := r.entries()
	for _, entry := range entries {
		r.sweepEntry(entry)
	}
	return err
}

// LeftBy reports whether something of the sandbox that a dead supervisor had is
// still there.
func (r *Root) LeftBy(name string, pid int) bool {
	rec, err := r.read(key(name))
	return err == nil && rec.Supervisor.Pid == pid
}

// pingLimit is how long a supervisor whose owner is dead may take to answer.
const pingLimit = 2 * time.Second

// KillWedged ends supervisors whose owner is dead and who do not answer: their job
// should have ended them. ping asks the supervisor of a directory.
func (r *Root) KillWedged(ping func(d dir.Ref, timeout time.Duration) bool) {
	var wait sync.WaitGroup
	entries, _ := r.entries()
	suspects := 0
	for _, entry := range entries {
		rec, err := r.read(entry)
		if err != nil || rec.Owner.Pid == 0 || rec.Owner.Alive() || !rec.living() {
			continue
		}
		suspects++
		wait.Add(1)
		fault.Go("sweep", func() {
			defer wait.Done()
			deadline := time.Now().Add(pingLimit)
			if !ping(filepath.Join(r.dir, entry), pingLimit) && !endedBy(rec.Supervisor, deadline) {
				kill(rec.Supervisor)
			}
		})
	}
	wait.Wait()
	if suspects > 0 {
		r.SweepAll()
	}
}

// End kills the supervisor of a name and removes what it leaves. No such
// sandbox is no error.
func (r *Root) End(name string) error {
	rec, d, err := r.Find(name)
	if err != nil {
		return nil
	}
	d.Close()
	kill(rec.Supervisor)
	for deadline := time.Now().Add(sweepLimit); !r.Sweep(name); time.Sleep(sweepPoll) {
		if time.Now().After(deadline) {
			return fault.New(fault.IO, fault.StageState, "sandbox %q: supervisor %d could not be killed", name, rec.Supervisor.Pid)
		}
	}
	return nil
}
