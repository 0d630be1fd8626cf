package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

const (
	lockName   = "lock"
	recordName = "record.json"
)

const (
	// deathLimit bounds how long the engine's processes may take to die after their
	// supervisor: the kernel kills them with it, and 18 ms were measured.
	deathLimit = 5 * time.Second

	// sweepLimit bounds the wait for somebody else's sweep of a dead sandbox,
	// which waits for the engine's death itself.
	sweepLimit = deathLimit + time.Second
	sweepPoll  = 5 * time.Millisecond

	// lentLimit bounds the wait for the lock of a supervisor that is dead: a child that
	// it forked and that has not executed yet has it for a moment more.
	lentLimit = time.Second
)

// Record returns the record as written last.
func (c *Claim) Record() Record { return c.rec }

// Update changes the record, on disk by rename.
func (c *Claim) Update(change func(*Record)) error {
	change(&c.rec)
	return c.write()
}

func (r *Root) conflict(entry, name string) error {
	where := ""
	if rec, err := r.read(entry); err == nil {
		where = fmt.Sprintf(" (supervisor pid %d)", rec.Supervisor.Pid)
	}
	return fault.New(fault.Exists, fault.StageState, "a sandbox named %q is running%s: take another name, or open or stop that one", name, where)
}

func (r *Root) claimError(err error, name string) error {
	var own *fault.Error
	if errors.As(err, &own) {
		return own
	}
	return fault.Wrap(err, fault.IO, fault.StageState, fmt.Sprintf("state of sandbox %q in %q", name, r.path))
}
