package metrics

import (
	"errors"
	"os"

	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// Process names a process so that a later one with the same id is not taken for it.
type Process struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start_ticks"` // its creation, in steps of 100 ns since 1601
}

// Self is the calling process.
func Self() (Process, error) {
	pid := os.Getpid()
	start, err := winsys.StartTime(pid)
	return Process{Pid: pid, Start: start}, err
}

// Alive reports whether the process still runs.
func (p Process) Alive() bool {
	if p.Pid <= 0 {
		return false
	}
	start, err := winsys.StartTime(p.Pid)
	if errors.Is(err, os.ErrProcessDone) {
		return false
	}
	return err != nil || start == p.Start // out of memory or rights is no proof of death
}

// bootHash is the same in all boots: creation times tell processes of one from those
// of another.
func bootHash() uint64 { return 1 }
