// Package cgroup makes control groups of the host for the engine of one sandbox,
// where this process may: version 1 or 2, each controller for itself. A group lies
// below the one that this process is in, so that it never escapes a limit that
// somebody has set for the process.
package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Controllers that are used. Never pids: it would count the engine's own threads.
const (
	Memory = "memory"
	CPU    = "cpu"
)

// Place is a directory below which a group with a controller can be made. Version
// is 1 or 2; it is 0 where none can, and Why says what is missing.
type Place struct {
	Version int
	Parent  string
	Why     string
}

// Host is what this process sees of the control groups.
type Host struct {
	memberships string            // /proc/PID/cgroup
	mountinfo   string            // /proc/PID/mountinfo
	writable    func(string) bool // may this process write the file or directory?
}

// Look reads what this process sees now. No thread of it is in a mount namespace of its
// own; to look at one in /proc would make the end of this process slower.
func Look() (Host, error) {
	memberships, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return Host{}, err
	}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	return Host{string(memberships), string(mountinfo), writable}, err
}

func writable(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS) == nil
}

// knobs are files of a group that has the controller, by version.
var knobs = map[string][3]string{
	Memory: {1: "memory.limit_in_bytes", 2: "memory.max"},
	CPU:    {1: "cpu.cfs_quota_us", 2: "cpu.max"},
}

// Find returns where a group with the controller can be made. A controller is in
// one hierarchy only: the first that has it decides.
func (h Host) Find(controller string) Place {
	why := "no mounted hierarchy has the controller"
	for _, m := range h.hierarchies() {
		switch {
		case m.version == 1 && m.controllers[controller]:
			return h.findV1(m, controller)
		case m.version == 2:
			place := h.findV2(m, controller)
			if place.Version != 0 {
				return place
			}
			why = place.Why
		}
	}
	return Place{Why: why}
}

func (h Host) findV1(m hierarchy, controller string) Place {
	own, err := h.own(m, controller)
	if err != nil {
		return Place{Why: err.Error()}
	}
	if _, err := os.Stat(filepath.Join(own, knobs[controller][1])); err != nil && own != m.mountPoint {
		return Place{Why: err.Error()}
	}
	if !h.writable(own) {
		return Place{Why: own + " is not writable"}
	}
	return Place{Version: 1, Parent: own}
}

// findV2 looks at the group of this process, which can have groups with
// controllers below it only at the root of the hierarchy, and at its parent, which
// is what managers delegate. Beside itself no group is made when its own has a
// limit: it would escape that.
func (h Host) findV2(m hierarchy, controller string) Place {
	own, err := h.own(m, "")
	if err != nil {
		return Place{Why: err.Error()}
	}
	parent := filepath.Dir(own)
	candidates := []string{own}
	if own != m.mountPoint && !limited(own) {
		candidates = append(candidates, parent)
	}
	why := ""
	for _, dir := range candidates {
		enabled, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		switch {
		case !contains(string(enabled), controller):
			why = fmt.Sprintf("%s does not delegate the controller (cgroup.subtree_control)", dir)
		case !h.writable(dir) || !h.writable(filepath.Join(dir, "cgroup.procs")):
			why = dir + " is not writable"
		default:
			return Place{Version: 2, Parent: dir}
		}
	}
	return Place{Why: why}
}

// limited reports whether a group of version 2 has a limit of its own.
func limited(dir string) bool {
	for _, name := range []string{"memory.max", "memory.high", "memory.swap.max", "cpu.max"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil && !strings.HasPrefix(string(data), "max") {
			return true
		}
	}
	return false
}

func contains(list, word string) bool {
	for _, w := range strings.FieldsFunc(list, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' }) {
		if w == word {
			return true
		}
	}
	return false
}

// hierarchy is a mount of control groups.
type hierarchy struct {
	version     int
	root        string // the group that is seen at the mount point
	mountPoint  string
	controllers map[string]bool // of version 1
}

// hierarchies lists the mounts, those of version 1 first.
func (h Host) hierarchies() []hierarchy {
	var v1, v2 []hierarchy
	for _, line := range strings.Split(h.mountinfo, "\n") {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		m := hierarchy{root: unescape(left[3]), mountPoint: unescape(left[4])}
		switch right[0] {
		case "cgroup":
			m.version, m.controllers = 1, map[string]bool{}
			for _, option := range strings.Split(right[2], ",") {
				m.controllers[option] = true
			}
			v1 = append(v1, m)
		case "cgroup2":
			m.version = 2
			v2 = append(v2, m)
		}
	}
	return append(v1, v2...)
}

// unescape undoes mountinfo's octal escapes.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// own is the directory of the group that this process is in; controller is "" for
// version 2.
func (h Host) own(m hierarchy, controller string) (string, error) {
	for _, line := range strings.Split(h.memberships, "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 || controller == "" && fields[1] != "" || controller != "" && !contains(fields[1], controller) {
			continue
		}
		below, err := filepath.Rel(m.root, fields[2])
		if err != nil || below == ".." || strings.HasPrefix(below, "../") {
			return "", fmt.Errorf("the group %s of this process is not below %s", fields[2], m.mountPoint)
		}
		return filepath.Join(m.mountPoint, below), nil
	}
	return "", fmt.Errorf("this process is in no group of %s", m.mountPoint)
}
