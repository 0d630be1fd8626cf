// Package process names processes so that a later one with the same id is not taken
// for one that has ended.
package process

import (
	"errors"
	"os"
)

// ID names a process of this boot and PID namespace: those of another seem dead.
type ID struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start_ticks"` // as StartTime has it
}

// Self is the calling process.
func Self() (ID, error) { return Of(os.Getpid()) }

// Of is the process that has an id now.
func Of(pid int) (ID, error) {
	start, err := StartTime(pid)
	return ID{Pid: pid, Start: start}, err
}

// Alive is false when the process is known to have ended: what it left may be taken
// away. Being out of descriptors or memory is no such knowledge.
func (p ID) Alive() bool {
	if p.Pid <= 0 {
		return false
	}
	start, err := StartTime(p.Pid)
	if err != nil {
		return !errors.Is(err, os.ErrProcessDone)
	}
	return start == p.Start
}

// Found is true when the process is known to live: it may be signalled through a
// descriptor that was opened before.
func (p ID) Found() bool {
	start, err := StartTime(p.Pid)
	return p.Pid > 0 && err == nil && start == p.Start
}
