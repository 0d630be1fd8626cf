package store

import (
	"os"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// pingLimit is how long a supervisor whose owner is dead may take to answer.
const pingLimit = 2 * time.Second

// List returns the records of the living sandboxes, and takes away what dead
// ones left.
func (r *Root) List() ([]Record, error) {
	entries, err := r.entries()
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, entry := range entries {
		if r.sweepEntry(entry) || !isKey(entry) {
			continue
		}
		if rec, err := r.read(entry); err == nil && rec.living() {
			records = append(records, rec)
		}
	}
	return records, nil
}

// NameOf names the sandbox of a supervisor in this state directory; "" for any
// other process.
func (r *Root) NameOf(pid int) string {
	records, err := r.List()
	if err != nil {
		return ""
	}
	for _, rec := range records {
		if rec.Supervisor.Pid == pid {
			return rec.Name
		}
	}
	return ""
}

// Find returns the record and open directory (the caller's to close) of a
// living sandbox; NotFound when there is none.
func (r *Root) Find(name string) (Record, *os.File, error) {
	entry := key(name)
	if !r.sweepEntry(entry) {
		rec, err := r.read(entry)
		if err == nil && rec.Name == name && rec.living() {
			if dir, err := r.openEntry(entry); err == nil {
				return rec, dir, nil
			}
		}
	}
	return Record{}, nil, NotFound(name, r.path)
}

// Sweep removes what the dead sandbox of this name left; false when it lives.
func (r *Root) Sweep(name string) bool { return r.sweepEntry(key(name)) }

// End kills the supervisor of a name and removes what it leaves. No such
// sandbox is no error.
func (r *Root) End(name string) error {
	rec, dir, err := r.Find(name)
	if err != nil {
		return nil
	}
	dir.Close()
	kill(rec.Supervisor)
	// Its owner may be at it, too, and a sweeper of somebody else's.
	for deadline := time.Now().Add(sweepLimit); !r.Sweep(name) || r.LeftBy(name, rec.Supervisor.Pid); time.Sleep(sweepPoll) {
		if time.Now().After(deadline) {
			return fault.New(fault.IO, fault.StageState, "sandbox %q: supervisor %d could not be killed", name, rec.Supervisor.Pid)
		}
	}
	return nil
}
