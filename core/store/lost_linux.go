package store

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/process"
)

// lost are the supervisors of this root that no record names and whose owner is
// dead. The processes are listed first: one that claims its name in between is not
// taken for lost.
func (r *Root) lost() []Process {
	var out []Process
	var known map[int]bool
	for _, s := range r.supervisors() {
		if s.owned {
			continue
		}
		if known == nil {
			known = r.recorded()
		}
		if !known[s.Pid] {
			out = append(out, s.Process)
		}
	}
	return out
}

// recorded are the supervisors that entries under their names speak of.
func (r *Root) recorded() map[int]bool {
	pids := map[int]bool{}
	entries, _ := r.entries()
	for _, entry := range entries {
		if rec, err := r.read(entry); err == nil && isKey(entry) {
			pids[rec.Supervisor.Pid] = true
		}
	}
	return pids
}

// supervisor is a process of this root.
type supervisor struct {
	Process
	parent int
	owned  bool // its parent is its owner, which lives
}

// supervisors finds those of this root but the caller, with or without a record.
func (r *Root) supervisors() []supervisor {
	label := Labels(r.path, 0)[0]
	procs, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer procs.Close()
	names, _ := procs.Readdirnames(-1)
	all := map[int]supervisor{}
	var buf [512]byte // the longest name, and the labels
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || !leads(pid) {
			continue
		}
		fields := bytes.Split(commandLine(pid, buf[:]), []byte{0})
		if len(fields) < 5 || string(fields[1]) != SuperviseCommand || string(fields[3]) != label {
			continue
		}
		owner, _ := strconv.Atoi(strings.TrimPrefix(string(fields[4]), "--owner="))
		if p, err := process.Of(pid); err == nil {
			parent := parentOf(pid)
			all[pid] = supervisor{p, parent, parent == owner}
		}
	}
	// A supervisor's child has its command line, too, until it executes an engine: it
	// is none, and dies with its parent.
	var out []supervisor
	for pid, s := range all {
		if _, child := all[s.parent]; !child && pid != os.Getpid() {
			out = append(out, s)
		}
	}
	return out
}

// leads tells whether a process leads a session, as every supervisor does since its
// start: to ask costs a tenth of reading its command line.
func leads(pid int) bool {
	session, err := unix.Getsid(pid)
	return err == nil && session == pid
}

// commandLine reads the beginning of a command line, with as few calls as can be:
// it is asked of every process of the machine.
func commandLine(pid int, buf []byte) []byte {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/cmdline", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	n, _ := unix.Read(fd, buf)
	return buf[:max(n, 0)]
}
