// Package idmap chooses the user namespace of an engine's processes: ids that no
// account of the host uses, where there are such, and never root of the host.
package idmap

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

const (
	// Guest ids 0 to 65535 are mapped onto one of the ranges that start at
	// RangeBase + k*RangeSize. They lie above what systemd allots to
	// containers (up to 1879048191) and below 2^31.
	RangeBase  = 1879048192
	RangeSize  = 65536
	rangeCount = 4096
	// Nobody is mapped alone where no range is free.
	Nobody = 65534
)

// Span is a range of ids.
type Span struct{ First, Size uint64 }

func (s Span) overlaps(t Span) bool { return s.First < t.First+t.Size && t.First < s.First+s.Size }
func (s Span) contains(t Span) bool {
	return s.First <= t.First && t.First+t.Size <= s.First+s.Size
}

// Map is the mapping of a user namespace: ids 0 to Size-1 inside are UID (GID) to
// UID+Size-1 (GID+Size-1) outside.
type Map struct {
	UID, GID, Size uint64
	Note           string // for the receipt
}

// Source is where ids are taken from; a test has its own.
type Source struct {
	EUID, EGID     uint64
	UIDMap, GIDMap []Span // ids that exist in the caller's user namespace
	Taken          []Span // subordinate ranges and accounts
}

// Choose picks the user namespace's mapping. Never is root of the first
// user namespace mapped into the sandbox.
func Choose(src Source, id string) (Map, error) {
	if src.EUID != 0 {
		return Map{src.EUID, src.EGID, 1,
			fmt.Sprintf("user namespace, guest ids on the caller's uid %d", src.EUID)}, nil
	}
	h := fnv.New32a()
	h.Write([]byte(id))
	start := uint64(h.Sum32()) % rangeCount
	for k := range uint64(rangeCount) {
		s := Span{RangeBase + (start+k)%rangeCount*RangeSize, RangeSize}
		if anyContains(src.UIDMap, s) && anyContains(src.GIDMap, s) && !anyOverlaps(src.Taken, s) {
			return Map{s.First, s.First, s.Size,
				fmt.Sprintf("user namespace on the unused uids %d to %d", s.First, s.First+s.Size-1)}, nil
		}
	}
	one := Span{Nobody, 1}
	if anyContains(src.UIDMap, one) && anyContains(src.GIDMap, one) {
		return Map{Nobody, Nobody, 1, "user namespace on the single uid 65534"}, nil
	}
	if !isFirst(src.UIDMap) {
		return Map{0, 0, 1, "user namespace on the single uid 0 of the caller's own user namespace"}, nil
	}
	return Map{}, fault.New(fault.Setup, fault.StageEngine,
		"user namespace: neither a free range of uids nor uid 65534 can be mapped; map more ids into this container")
}

// isFirst tells whether the map is that of the first user namespace.
func isFirst(m []Span) bool { return len(m) == 1 && m[0] == Span{0, 4294967295} }

func anyContains(list []Span, s Span) bool {
	for _, t := range list {
		if t.contains(s) {
			return true
		}
	}
	return false
}

func anyOverlaps(list []Span, s Span) bool {
	for _, t := range list {
		if t.overlaps(s) {
			return true
		}
	}
	return false
}

// Host reads the id source of this process.
func Host() (Source, error) {
	src := Source{EUID: uint64(os.Geteuid()), EGID: uint64(os.Getegid())}
	if src.EUID != 0 {
		return src, nil
	}
	var err error
	if src.UIDMap, err = readSpans("/proc/self/uid_map", " ", 0, 2); err != nil {
		return src, err
	}
	if src.GIDMap, err = readSpans("/proc/self/gid_map", " ", 0, 2); err != nil {
		return src, err
	}
	// An account file that is missing or malformed takes no ids.
	for _, f := range []struct {
		name        string
		first, size int
	}{{"/etc/subuid", 1, 2}, {"/etc/subgid", 1, 2}, {"/etc/passwd", 2, -1}, {"/etc/group", 2, -1}} {
		spans, _ := readSpans(f.name, ":", f.first, f.size)
		src.Taken = append(src.Taken, spans...)
	}
	return src, nil
}

// readSpans reads one Span per line: the fields with the given numbers hold
// its first id and its size (1 when the number is negative).
func readSpans(name, separator string, first, size int) ([]Span, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var spans []Span
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), separator)
		if separator == " " {
			fields = strings.Fields(lines.Text())
		}
		if len(fields) <= max(first, size) {
			continue
		}
		s := Span{Size: 1}
		if s.First, err = strconv.ParseUint(fields[first], 10, 32); err != nil {
			continue
		}
		if size >= 0 {
			if s.Size, err = strconv.ParseUint(fields[size], 10, 32); err != nil {
				continue
			}
		}
		spans = append(spans, s)
	}
	return spans, nil
}

// DropsGroups tells whether a process in a new user namespace can give up the caller's
// supplementary groups: only root may, and not where it is root of a namespace that an
// unprivileged user has made, nor below one; user_namespaces(7).
func DropsGroups() bool {
	setting, err := os.ReadFile("/proc/self/setgroups")
	return os.Geteuid() == 0 && err == nil && string(setting) == "allow\n"
}
