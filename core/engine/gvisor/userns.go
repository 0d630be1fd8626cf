package gvisor

import (
	"bufio"
	"fmt"
	"hash/fnv"
	"os"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

const (
	// Guest ids 0 to 65535 are mapped onto one of the ranges that start at
	// rangeBase + k*rangeSize. They lie above what systemd allots to
	// containers (up to 1879048191) and below 2^31.
	rangeBase  = 1879048192
	rangeSize  = 65536
	rangeCount = 4096
	// nobody is mapped alone where no range is free.
	nobody = 65534
)

// span is a range of ids.
type span struct{ first, size uint64 }

func (s span) overlaps(t span) bool { return s.first < t.first+t.size && t.first < s.first+s.size }
func (s span) contains(t span) bool {
	return s.first <= t.first && t.first+t.size <= s.first+s.size
}

// idMap is the mapping of the sentry's and gofer's user namespace: ids 0 to
// size-1 inside are uid (gid) to uid+size-1 (gid+size-1) outside.
type idMap struct {
	uid, gid, size uint64
	note           string // for the receipt
}

func (m idMap) mappings() (uids, gids []specs.LinuxIDMapping) {
	one := func(host uint64) []specs.LinuxIDMapping {
		return []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(host), Size: uint32(m.size)}}
	}
	return one(m.uid), one(m.gid)
}

// idSource is where ids are taken from; a test has its own.
type idSource struct {
	euid, egid     uint64
	uidMap, gidMap []span // ids that exist in the caller's user namespace
	taken          []span // subordinate ranges and accounts
}

// chooseIDs picks the user namespace's mapping. Never is root of the first
// user namespace mapped into the sandbox.
func chooseIDs(src idSource, id string) (idMap, error) {
	if src.euid != 0 {
		return idMap{src.euid, src.egid, 1,
			fmt.Sprintf("user namespace, guest ids on the caller's uid %d", src.euid)}, nil
	}
	h := fnv.New32a()
	h.Write([]byte(id))
	start := uint64(h.Sum32()) % rangeCount
	for k := range uint64(rangeCount) {
		s := span{rangeBase + (start+k)%rangeCount*rangeSize, rangeSize}
		if anyContains(src.uidMap, s) && anyContains(src.gidMap, s) && !anyOverlaps(src.taken, s) {
			return idMap{s.first, s.first, s.size,
				fmt.Sprintf("user namespace on the unused uids %d to %d", s.first, s.first+s.size-1)}, nil
		}
	}
	one := span{nobody, 1}
	if anyContains(src.uidMap, one) && anyContains(src.gidMap, one) {
		return idMap{nobody, nobody, 1, "user namespace on the single uid 65534"}, nil
	}
	if !isFirst(src.uidMap) {
		return idMap{0, 0, 1, "user namespace on the single uid 0 of the caller's own user namespace"}, nil
	}
	return idMap{}, fault.New(fault.Setup, fault.StageEngine,
		"user namespace: neither a free range of uids nor uid 65534 can be mapped; map more ids into this container")
}

// isFirst tells whether the map is that of the first user namespace.
func isFirst(m []span) bool { return len(m) == 1 && m[0] == span{0, 4294967295} }

func anyContains(list []span, s span) bool {
	for _, t := range list {
		if t.contains(s) {
			return true
		}
	}
	return false
}

func anyOverlaps(list []span, s span) bool {
	for _, t := range list {
		if t.overlaps(s) {
			return true
		}
	}
	return false
}

// hostIDs reads the id source of this process.
func hostIDs() (idSource, error) {
	src := idSource{euid: uint64(os.Geteuid()), egid: uint64(os.Getegid())}
	if src.euid != 0 {
		return src, nil
	}
	var err error
	if src.uidMap, err = readSpans("/proc/self/uid_map", " ", 0, 2); err != nil {
		return src, err
	}
	if src.gidMap, err = readSpans("/proc/self/gid_map", " ", 0, 2); err != nil {
		return src, err
	}
	// An account file that is missing or malformed takes no ids.
	for _, f := range []struct {
		name        string
		first, size int
	}{{"/etc/subuid", 1, 2}, {"/etc/subgid", 1, 2}, {"/etc/passwd", 2, -1}, {"/etc/group", 2, -1}} {
		spans, _ := readSpans(f.name, ":", f.first, f.size)
		src.taken = append(src.taken, spans...)
	}
	return src, nil
}

// readSpans reads one span per line: the fields with the given numbers hold
// its first id and its size (1 when the number is negative).
func readSpans(name, separator string, first, size int) ([]span, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var spans []span
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), separator)
		if separator == " " {
			fields = strings.Fields(lines.Text())
		}
		if len(fields) <= max(first, size) {
			continue
		}
		s := span{size: 1}
		if s.first, err = strconv.ParseUint(fields[first], 10, 32); err != nil {
			continue
		}
		if size >= 0 {
			if s.size, err = strconv.ParseUint(fields[size], 10, 32); err != nil {
				continue
			}
		}
		spans = append(spans, s)
	}
	return spans, nil
}
