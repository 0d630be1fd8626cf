package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/cgroup"
	"github.com/libmicrosandbox/microsandbox/core/process"
)

// Audit lists everything of this state root that exists: what living sandboxes
// have, and what is left of others. The caller has swept before.
func (r *Root) Audit() ([]Finding, error) {
	// Processes first: one of a sandbox that starts meanwhile is not among them, and
	// of one that ends meanwhile not alive.
	supervisors, engines, groups := r.supervisors(), r.engines(), cgroup.Left(CgroupOwner(r.path))
	entries, err := r.entries()
	if err != nil {
		return nil, err
	}
	var out []Finding
	known := map[int]bool{os.Getpid(): true}
	named := map[string]bool{}
	seen := map[string]bool{}
	for len(entries) > 0 {
		entry := entries[0]
		entries = entries[1:]
		if seen[entry] {
			continue
		}
		seen[entry] = true
		if !isKey(entry) && tempOwnerAlive(entry) {
			continue // being made or removed right now
		}
		rec, err := r.read(entry)
		if err == nil && rec.Momentary {
			continue
		}
		if err != nil && r.absent(entry) { // it has just ended, or has another name: taken from a pool
			more, _ := r.entries()
			entries = append(entries, more...)
			continue
		}
		if err != nil || !rec.Supervisor.Alive() {
			out = append(out, Finding{"directory", filepath.Join(r.dir.Name(), entry), true})
			continue
		}
		of := fmt.Sprintf("sandbox %q", rec.Name)
		if rec.Pooled {
			of = "waits in a pool"
		}
		out = append(out,
			Finding{"directory", fmt.Sprintf("%s (%s)", filepath.Join(r.dir.Name(), entry), of), false},
			Finding{"supervisor", fmt.Sprintf("pid %d (%s)", rec.Supervisor.Pid, of), false})
		known[rec.Supervisor.Pid] = true
		for _, dir := range rec.Cgroups {
			if _, err := os.Stat(dir); err == nil {
				out = append(out, Finding{"cgroup", fmt.Sprintf("%s (sandbox %q)", dir, rec.Name), false})
			}
			named[dir] = true
		}
		for _, child := range rec.Children {
			if child.Alive() {
				known[child.Pid] = true
				out = append(out, Finding{"engine", fmt.Sprintf("pid %d (%s)", child.Pid, of), false})
			}
		}
	}
	for _, s := range supervisors {
		if !known[s.Pid] && s.Alive() { // it starts or ends, or ought to
			out = append(out, Finding{"supervisor", fmt.Sprintf("pid %d", s.Pid), !s.owned})
			known[s.Pid] = true
		}
	}
	for _, p := range engines {
		if !below(p.Pid, known) && p.Alive() {
			out = append(out, Finding{"process", fmt.Sprintf("pid %d of the engine", p.Pid), true})
		}
	}
	for _, dir := range groups {
		if _, err := os.Stat(dir); err == nil && !named[dir] {
			out = append(out, Finding{"cgroup", dir, true})
		}
	}
	return append(out, r.mounts()...), nil
}

// engines finds the engines' processes of this root, which carry its path on
// their command line, and the helpers of terminals, which carry its label.
func (r *Root) engines() []Process {
	var out []Process
	prefix, label := []byte(r.dir.Name()+"/"), []byte("msb-terminal\x00"+Labels(r.path, 0)[0]+"\x00")
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		argv, _ := os.ReadFile("/proc/" + p.Name() + "/cmdline")
		engine := bytes.HasPrefix(argv, []byte("runsc-")) && bytes.Contains(argv, prefix)
		if !engine && !bytes.Equal(argv, label) {
			continue
		}
		if p, err := process.Of(pid); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// below reports whether a process is one of those, or descends from one.
func below(pid int, known map[int]bool) bool {
	for range 8 { // an engine is not that deep
		if pid <= 1 || known[pid] {
			break
		}
		pid = parentOf(pid)
	}
	return known[pid]
}

func parentOf(pid int) int {
	data, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	fields := strings.Fields(string(data[max(bytes.LastIndexByte(data, ')')+1, 0):]))
	if len(fields) < 2 {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}

// mounts finds mounts below the root: the library makes none in this namespace.
func (r *Root) mounts() []Finding {
	var out []Finding
	data, _ := os.ReadFile("/proc/self/mountinfo")
	for _, line := range strings.Split(string(data), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 4 && strings.HasPrefix(fields[4], r.dir.Name()+"/") {
			out = append(out, Finding{"mount", fields[4], true})
		}
	}
	return out
}
