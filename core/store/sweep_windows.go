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

func (r *Root) openEntry(entry string) (*os.File, error) {
	return winsys.OpenDir(filepath.Join(r.dir, entry))
}

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
