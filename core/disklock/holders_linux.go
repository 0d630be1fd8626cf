package disklock

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Holder is a process that holds a lock on an image.
type Holder struct {
	Pid     int
	UID     uint32 // effective
	Command string // as ps shows it; up to 15 bytes, "" when unknown
	Sandbox string // the sandbox whose supervisor it is; "" for none
	Mode    Mode
	// Taker: the process took the lock, and it cannot be told whether it holds it
	// still or has handed it over. Only of other users' processes.
	Taker bool
}

// Holders lists the processes that hold a lock on an open image. Processes of a
// sandbox's engine, and a launcher that has not yet closed its descriptor, are
// not listed beside the supervisor.
func Holders(file *os.File, names Names) ([]Holder, error) {
	id, err := identify(file, file.Name())
	if err != nil {
		return nil, err
	}
	return findHolders(file, id, names), nil
}

func findHolders(file *os.File, id identity, names Names) []Holder {
	var found []Holder
	for _, pid := range processes() {
		if mode, ok := holds(pid, id); ok {
			found = append(found, describe(pid, mode, names))
		}
	}
	found = withoutFamily(found)
	for _, h := range lockTakers(file, id, names) {
		if !slices.ContainsFunc(found, func(f Holder) bool { return f.Pid == h.Pid }) {
			found = append(found, h)
		}
	}
	return found
}

// processes lists the living processes, in the order of their ids.
func processes() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// holds tells whether a process has a descriptor through which the image is
// locked. A process of another user cannot be looked into: false.
func holds(pid int, id identity) (Mode, bool) {
	dir, err := os.Open(fmt.Sprintf("/proc/%d/fdinfo", pid))
	if err != nil {
		return 0, false
	}
	defer dir.Close()
	fds, _ := dir.Readdirnames(-1)
	for _, fd := range fds {
		info, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(info)) {
			rest, ok := strings.CutPrefix(line, "lock:")
			if !ok {
				continue
			}
			if lock, ok := parseLock(rest); ok && lock.ino == id.ino && isFile(pid, fd, id) {
				return lock.mode, true
			}
		}
	}
	return 0, false
}

// isFile tells whether a descriptor is of this file. It asks no file server: one
// that does not answer must not hold us up.
func isFile(pid int, fd string, id identity) bool {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, fmt.Sprintf("/proc/%d/fd/%s", pid, fd), unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st)
	return err == nil && st.Ino == id.ino && unix.Mkdev(st.Dev_major, st.Dev_minor) == id.dev
}

// flockLine is a line of /proc/locks or of fdinfo, of type FLOCK.
type flockLine struct {
	mode Mode
	pid  int // who took it; others may hold it now
	dev  uint64
	ino  uint64
}

// parseLock reads "1: FLOCK  ADVISORY  WRITE 4711 fe:00:9982961 0 EOF"; the
// device's numbers are hexadecimal. Waiting lines, "1: -> FLOCK", are none.
func parseLock(line string) (flockLine, bool) {
	f := strings.Fields(line)
	if len(f) < 6 || f[1] != "FLOCK" {
		return flockLine{}, false
	}
	var l flockLine
	var major, minor uint32
	if _, err := fmt.Sscanf(f[5], "%x:%x:%d", &major, &minor, &l.ino); err != nil {
		return flockLine{}, false
	}
	l.dev = unix.Mkdev(major, minor)
	l.pid, _ = strconv.Atoi(f[4])
	if f[3] == "WRITE" {
		l.mode = Exclusive
	}
	return l, true
}

// lockTakers lists from /proc/locks the processes of other users that took a
// lock on the image and live. Our own have been looked into.
func lockTakers(file *os.File, id identity, names Names) []Holder {
	data, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nil
	}
	var found []Holder
	for line := range strings.Lines(string(data)) {
		lock, ok := parseLock(line)
		if !ok || lock.ino != id.ino || lock.dev != id.dev || lock.pid <= 0 {
			continue
		}
		if dir, err := os.Open(fmt.Sprintf("/proc/%d/fdinfo", lock.pid)); err == nil {
			dir.Close()
			continue
		}
		if h := describe(lock.pid, lock.mode, names); h.Command != "" {
			h.Taker = true
			found = append(found, h)
		}
	}
	return found
}

// describe says what is known of a holder.
func describe(pid int, mode Mode, names Names) Holder {
	h := Holder{Pid: pid, Mode: mode}
	var st unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d", pid), &st) == nil {
		h.UID = st.Uid
	}
	if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
		h.Command = strings.TrimSuffix(string(data), "\n")
	}
	if names != nil {
		h.Sandbox = names(pid)
	}
	return h
}

// withoutFamily drops the descendants and ancestors of supervisors: they hold
// the same lock.
func withoutFamily(all []Holder) []Holder {
	var out []Holder
	for _, h := range all {
		related := h.Sandbox == "" && slices.ContainsFunc(all, func(s Holder) bool {
			return s.Sandbox != "" && (isAncestor(s.Pid, h.Pid) || isAncestor(h.Pid, s.Pid))
		})
		if !related {
			out = append(out, h)
		}
	}
	return out
}

func isAncestor(ancestor, pid int) bool {
	// The bound ends a chain that changes while it is followed.
	for range 64 {
		if pid = parent(pid); pid <= 1 {
			return false
		}
		if pid == ancestor {
			return true
		}
	}
	return false
}

// parent is the parent's process id; 0 when there is none.
func parent(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The command may hold spaces and parentheses: fields count from the last ')'.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}
