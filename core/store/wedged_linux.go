package store

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// pingLimit is how long a supervisor whose owner is dead may take to answer.
const pingLimit = 2 * time.Second

// KillWedged ends supervisors whose owner is dead and who do not answer: one
// that is alive stops by itself, a stopped or hanging one cannot. ping asks the
// socket in a directory.
func (r *Root) KillWedged(ping func(dirfd int, timeout time.Duration) bool) {
	entries, err := r.entries()
	if err != nil {
		return
	}
	for _, entry := range entries {
		rec, err := r.read(entry)
		if err != nil || !isKey(entry) || rec.Owner.Pid == 0 || rec.Owner.Alive() {
			continue
		}
		fd, err := unix.Openat(r.fd(), entry, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		begin := time.Now()
		// One without a socket is starting or ending, and has the same time for it.
		if !ping(fd, pingLimit) && !endedBy(rec.Supervisor, begin.Add(pingLimit)) {
			kill(rec.Supervisor)
		}
		r.sweepEntry(entry)
		unix.Close(fd)
	}
}

// endedBy waits until all threads of a process have ended.
func endedBy(p Process, deadline time.Time) bool {
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	start, _, err := processStat(p.Pid)
	return err != nil || start != p.Start || pollUntil(fd, deadline)
}

// kill ends exactly this supervisor and waits for its death, and that of its
// children, which no record may name yet.
func kill(p Process) {
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	children := Children(p.Pid)
	if p.Alive() && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
		pollUntil(fd, time.Now().Add(deathLimit))
		WaitGone(children)
	}
}

// End kills the supervisor of a name and removes what it leaves. No such
// sandbox is no error.
func (r *Root) End(name string) error {
	rec, dir, err := r.Find(name)
	if err != nil {
		return nil
	}
	dir.Close()
	kill(rec.Supervisor)
	if !r.Sweep(name) {
		return fault.New(fault.IO, fault.StageState, "sandbox %q: supervisor %d could not be killed", name, rec.Supervisor.Pid)
	}
	return nil
}
