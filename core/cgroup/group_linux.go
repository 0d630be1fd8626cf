package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// prefix of all groups that this library makes: a sweep removes no others.
const prefix = "microsandbox-"

// Name is that of a sandbox's groups: owner says which state root it belongs to.
func Name(owner, id string) string { return prefix + owner + "-" + id }

// Limits of a group; zero is none.
type Limits struct {
	MemoryBytes uint64
	CPUPermille uint32 // processor time per time; 1000 is one processor
	CPUWeight   uint32 // 1 to 10000, relative to others; 100 is what a group has
}

// cpuPeriod is the time over which a quota counts, in microseconds. The kernel
// takes no quota below a millisecond: 10 permille.
const cpuPeriod = 100_000

// Group is what was made for one sandbox: a directory in each hierarchy in use.
type Group struct {
	memory, cpu Place
	name        string
	limit       uint64
	oom         chan struct{} // closed when the kernel says that the memory is used up; never with version 2
	events      *os.File      // version 1: an eventfd; nil when the kernel has none
	hit         atomic.Bool
}

// Dirs are the directories that a group of this name would have.
func Dirs(memory, cpu Place, name string) []string {
	var dirs []string
	for _, p := range []Place{memory, cpu} {
		if p.Version != 0 {
			dirs = append(dirs, filepath.Join(p.Parent, name))
		}
	}
	return slices.Compact(dirs)
}

// Make makes the group. A place whose version is 0 is not used. On error nothing
// is left.
func Make(memory, cpu Place, name string, l Limits) (*Group, error) {
	g := &Group{memory: memory, cpu: cpu, name: name, limit: l.MemoryBytes, oom: make(chan struct{})}
	for _, dir := range Dirs(memory, cpu, name) {
		if err := os.Mkdir(dir, 0o755); err != nil {
			g.Remove()
			return nil, err
		}
	}
	err := g.limitMemory(l)
	if err == nil {
		err = g.limitCPU(l)
	}
	if err != nil {
		g.Remove()
		return nil, err
	}
	return g, nil
}

func (g *Group) limitMemory(l Limits) error {
	dir, most := filepath.Join(g.memory.Parent, g.name), strconv.FormatUint(l.MemoryBytes, 10)
	switch g.memory.Version {
	case 1:
		if err := write(dir, "memory.limit_in_bytes", most); err != nil {
			return err
		}
		if write(dir, "memory.memsw.limit_in_bytes", most) != nil {
			write(dir, "memory.swappiness", "0") // a kernel that does not count swap
		}
		g.watchMemory(dir)
	case 2:
		if err := write(dir, "memory.max", most); err != nil {
			return err
		}
		write(dir, "memory.swap.max", "0")  // missing where there is no swap
		write(dir, "memory.oom.group", "1") // since Linux 4.19: the engine ends as a whole
	}
	return nil
}

// watchMemory lets the kernel tell when the memory of a group of version 1 is used
// up, in place of killing one of its processes.
func (g *Group) watchMemory(dir string) {
	control, err := os.OpenFile(filepath.Join(dir, "memory.oom_control"), os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer control.Close()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return
	}
	events := os.NewFile(uintptr(fd), "eventfd")
	if write(dir, "cgroup.event_control", fmt.Sprintf("%d %d", fd, control.Fd())) != nil {
		events.Close()
		return
	}
	control.Write([]byte("1")) // else the kernel kills, which is noticed as well
	g.events = events
	go func() {
		var count [8]byte
		if n, _ := events.Read(count[:]); n == len(count) && underOOM(dir) {
			g.hit.Store(true)
			close(g.oom)
		}
	}()
}

// underOOM tells an event from that of the group's removal.
func underOOM(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "memory.oom_control"))
	return err == nil && (field(data, "under_oom") > 0 || field(data, "oom_kill") > 0)
}

func (g *Group) limitCPU(l Limits) error {
	dir, quota := filepath.Join(g.cpu.Parent, g.name), uint64(l.CPUPermille)*cpuPeriod/1000
	var err error
	switch g.cpu.Version {
	case 1:
		if quota > 0 {
			err = errors.Join(write(dir, "cpu.cfs_period_us", fmt.Sprint(cpuPeriod)), write(dir, "cpu.cfs_quota_us", fmt.Sprint(quota)))
		}
		if err == nil && l.CPUWeight > 0 {
			err = write(dir, "cpu.shares", fmt.Sprint(max(2, uint64(l.CPUWeight)*1024/100)))
		}
	case 2:
		if quota > 0 {
			err = write(dir, "cpu.max", fmt.Sprintf("%d %d", quota, cpuPeriod))
		}
		if err == nil && l.CPUWeight > 0 {
			err = write(dir, "cpu.weight", fmt.Sprint(l.CPUWeight))
		}
	}
	return err
}

// Notes say what is in force, for the receipt: "cgroup v1 memory.limit_in_bytes 100".
func (g *Group) Notes() (memory, cpu string) {
	if v := g.memory.Version; v != 0 {
		memory = fmt.Sprintf("cgroup v%d %s %d", v, knobs[Memory][v], g.limit)
	}
	if v := g.cpu.Version; v != 0 {
		cpu = fmt.Sprintf("cgroup v%d", v)
	}
	return memory, cpu
}

// Attach moves a process with all that it has started into the group. What it
// starts later is born there. The caller keeps pid from being reused.
func (g *Group) Attach(pid int) error {
	const passes = 50 // a child that is born while its parent moves takes one more
	for range passes {
		moved := false
		for _, dir := range Dirs(g.memory, g.cpu, g.name) {
			m, err := move(dir, pid)
			if err != nil {
				return err
			}
			moved = moved || m
		}
		if !moved {
			return nil
		}
	}
	return fmt.Errorf("process %d goes on starting others", pid)
}

// move moves what is not in a group yet and reports whether that was anything.
func move(dir string, pid int) (bool, error) {
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return false, err
	}
	inside := map[string]bool{}
	for _, text := range strings.Fields(string(data)) {
		inside[text] = true
	}
	moved := false
	for _, p := range append([]int{pid}, descendants(pid)...) {
		text := strconv.Itoa(p)
		if inside[text] {
			continue
		}
		err := write(dir, "cgroup.procs", text)
		if err != nil && (p == pid || !errors.Is(err, unix.ESRCH)) {
			return false, err
		}
		moved = true
	}
	return moved, nil
}

func descendants(pid int) []int {
	var out []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		data, _ := os.ReadFile(list)
		for _, text := range strings.Fields(string(data)) {
			if child, err := strconv.Atoi(text); err == nil {
				out = append(append(out, child), descendants(child)...)
			}
		}
	}
	return out
}

// OutOfMemory is closed when the kernel has stopped the group's processes for want
// of memory, where it tells that; else it kills them.
func (g *Group) OutOfMemory() <-chan struct{} { return g.oom }

// Killed reports whether the group has ended for want of memory.
func (g *Group) Killed() bool {
	dir := filepath.Join(g.memory.Parent, g.name)
	switch g.memory.Version {
	case 1:
		return g.hit.Load() || underOOM(dir)
	case 2:
		data, err := os.ReadFile(filepath.Join(dir, "memory.events"))
		return err == nil && field(data, "oom_kill") > 0
	}
	return false
}

// field is the number behind a name in a file of "name number" lines.
func field(data []byte, name string) uint64 {
	for _, line := range strings.Split(string(data), "\n") {
		if key, value, _ := strings.Cut(line, " "); key == name {
			n, _ := strconv.ParseUint(value, 10, 64)
			return n
		}
	}
	return 0
}

// Remove removes the group once its processes have been waited for.
func (g *Group) Remove() error {
	if g.events != nil {
		g.events.Close()
	}
	var err error
	for _, dir := range Dirs(g.memory, g.cpu, g.name) {
		err = errors.Join(err, Remove(dir))
	}
	return err
}

const (
	removeTime = 2 * time.Second
	removeWait = 2 * time.Millisecond
)

// Remove removes a group whose last process has ended. The kernel may take a moment
// to notice that; nothing tells when it has.
func Remove(dir string) error {
	for end := time.Now().Add(removeTime); ; time.Sleep(removeWait) {
		err := RemoveEmpty(dir)
		if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
			return err
		}
	}
}

// RemoveEmpty removes a group unless a process is in it, EBUSY. It does not touch
// what this library did not make. One that is gone already is no error.
func RemoveEmpty(dir string) error {
	if !strings.HasPrefix(filepath.Base(dir), prefix) {
		return fmt.Errorf("%s is no group of this library", dir)
	}
	if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
		return &os.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// Left lists the groups of a state root that exist below the places where this
// process would make some.
func Left(owner string) []string {
	host, err := Look()
	if err != nil {
		return nil
	}
	var out []string
	for _, controller := range []string{Memory, CPU} {
		place := host.Find(controller)
		if place.Version == 0 {
			continue
		}
		found, _ := filepath.Glob(filepath.Join(place.Parent, Name(owner, "*")))
		out = append(out, found...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func write(dir, file, text string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}
