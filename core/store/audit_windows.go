package store

import (
	"fmt"
	"path/filepath"
)

// Audit lists everything of this state root that exists: what living sandboxes
// have, and what is left of others. The caller has swept before. A supervisor without
// a record is in its owner's job, which ends it.
func (r *Root) Audit() ([]Finding, error) {
	entries, err := r.entries()
	if err != nil {
		return nil, err
	}
	var out []Finding
	for _, entry := range entries {
		path := filepath.Join(r.dir, entry)
		rec, err := r.read(entry)
		if err == nil && rec.Momentary {
			continue
		}
		if err != nil || !rec.Supervisor.Alive() {
			if !r.sweepEntry(entry) {
				out = append(out, Finding{"directory", path, true})
			}
			continue
		}
		out = append(out,
			Finding{"directory", fmt.Sprintf("%s (sandbox %q)", path, rec.Name), false},
			Finding{"supervisor", fmt.Sprintf("pid %d (sandbox %q)", rec.Supervisor.Pid, rec.Name), false})
		for _, child := range Children(rec.Supervisor.Pid) {
			out = append(out, Finding{"process", fmt.Sprintf("pid %d (sandbox %q)", child.Pid, rec.Name), false})
		}
	}
	return out, nil
}
