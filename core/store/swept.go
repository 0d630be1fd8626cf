package store

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// sweptName is the file of a state root that says when the last sweep that has ended
// had begun, in nanoseconds since 1970. It has always the same size: who reads it
// while it is written finds one time or the other.
const (
	sweptName = "swept"
	sweptText = "%020d\n"
)

func (r *Root) sweptPath() string { return filepath.Join(r.path, sweptName) }

// NoteSweep notes that all has been swept that was dead at the given time. An error
// costs a sweep.
func (r *Root) NoteSweep(begun time.Time) {
	if r.SweptSince(begun) {
		return
	}
	f, err := os.OpenFile(r.sweptPath(), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, sweptText, begun.UnixNano())
}

// SweptSince tells whether somebody has swept all that was dead at the given time:
// of many sandboxes that start at once, one sweeps. What the clock has not come to
// yet says nothing.
func (r *Root) SweptSince(t time.Time) bool {
	data, err := os.ReadFile(r.sweptPath())
	if err != nil {
		return false
	}
	var begun int64
	if _, err := fmt.Sscanf(string(data), sweptText, &begun); err != nil {
		return false
	}
	return begun >= t.UnixNano() && begun <= time.Now().UnixNano()
}
