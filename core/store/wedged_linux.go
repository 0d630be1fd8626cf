package store

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// KillWedged ends supervisors whose owner is dead and who do not answer, or whom
// no record names: one that is alive stops by itself, a stopped or hanging one
// cannot. All have the same time. ping asks the socket in a directory.
func (r *Root) KillWedged(ping func(dirfd int, timeout time.Duration) bool) {
	var wait sync.WaitGroup
	each := func(f func()) {
		wait.Add(1)
		fault.Go("sweep", func() {
			defer wait.Done()
			f()
		})
	}
	entries, _ := r.entries()
	suspects := 0
	for _, entry := range entries {
		rec, err := r.read(entry)
		if err == nil && isKey(entry) && rec.Owner.Pid != 0 && !rec.Owner.Alive() {
			suspects++
			each(func() { r.killUnlessAnswers(entry, rec, ping) })
		}
	}
	for _, p := range r.lost() {
		suspects++
		each(func() { r.killUnlessRecorded(p) })
	}
	wait.Wait()
	if suspects > 0 {
		r.SweepAll()
	}
}

// killUnlessAnswers also spares one without a socket, which is starting or ending,
// for the same time.
func (r *Root) killUnlessAnswers(entry string, rec Record, ping func(int, time.Duration) bool) {
	dir, err := r.openEntry(entry)
	if err != nil {
		return
	}
	defer dir.Close()
	deadline := time.Now().Add(pingLimit)
	if !ping(int(dir.Fd()), pingLimit) && !endedBy(rec.Supervisor, deadline) {
		kill(rec.Supervisor)
	}
}

// killUnlessRecorded ends a supervisor that no record names. Such a one is starting
// or ending and does either by itself, in milliseconds, unless it is stopped or
// hangs. What has left the list meanwhile has a record, or was none.
func (r *Root) killUnlessRecorded(p Process) {
	if !endedBy(p, time.Now().Add(pingLimit)) && slices.Contains(r.lost(), p) {
		kill(p)
	}
}

// endedBy waits until all threads of a process have ended.
func endedBy(p Process, deadline time.Time) bool {
	fd, err := unix.PidfdOpen(p.Pid, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	return !p.Found() || pollUntil(fd, deadline)
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
	if p.Found() && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
		pollUntil(fd, time.Now().Add(deathLimit))
		WaitGone(children)
	}
}
