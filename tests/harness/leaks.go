package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/process"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// Tree returns a process and all its descendants: what must be gone with it.
func Tree(t testing.TB, pid int) []store.Process {
	t.Helper()
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	for _, stat := range stats {
		data, err := os.ReadFile(stat)
		if err != nil {
			continue // it has just ended
		}
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], child)
	}
	var tree []store.Process
	for queue := []int{pid}; len(queue) > 0; queue = queue[1:] {
		if p, err := process.Of(queue[0]); err == nil {
			tree = append(tree, p)
		}
		queue = append(queue, children[queue[0]]...)
	}
	return tree
}

// Alive returns those of the processes that still run.
func Alive(processes []store.Process) []string {
	var alive []string
	for _, p := range processes {
		if p.Alive() {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
			alive = append(alive, fmt.Sprintf("%.60q", stat))
		}
	}
	return alive
}

// Gone requires that none of the processes runs after a time.
func Gone(t testing.TB, processes []store.Process, within time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool { return len(Alive(processes)) == 0 }, within, 2*time.Millisecond,
		"still there after %v: %v", within, Alive(processes))
}

// Entries lists what is in the state directory besides the directories that
// stay.
func Entries(t testing.TB, state string) []string {
	t.Helper()
	entries := []string{}
	files, err := os.ReadDir(filepath.Join(state, "sandboxes"))
	if os.IsNotExist(err) {
		return entries
	}
	require.NoError(t, err)
	for _, f := range files {
		entries = append(entries, f.Name())
	}
	return entries
}

// Swept requires that the state directory is empty after a moment: somebody else
// may be at it.
func Swept(t testing.TB, state string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(Entries(t, state)) == 0 }, Limit, 2*time.Millisecond, "%v", Entries(t, state))
}

// Snapshot is what a process holds: descriptors, goroutines, children, and mounts
// below a state directory.
type Snapshot struct {
	FDs      []string
	Routines int
	Children []string
	Mounts   int
}

// Take takes a snapshot of this process.
func Take() Snapshot {
	s := Snapshot{Routines: runtime.NumGoroutine(), FDs: descriptors()}
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		data, _ := os.ReadFile(task)
		s.Children = append(s.Children, strings.Fields(string(data))...)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	s.Mounts = strings.Count(string(mounts), "/sandboxes/")
	return s
}

func descriptors() []string {
	var fds []string
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if name == strconv.Itoa(int(dir.Fd())) {
			continue
		}
		target, err := os.Readlink("/proc/self/fd/" + name)
		if err == nil && !strings.Contains(target, "[event") {
			fds = append(fds, name+" "+target)
		}
	}
	sort.Strings(fds)
	return fds
}

// more tells what the later snapshot has more than the earlier one.
func (s Snapshot) more(later Snapshot) string {
	var text []string
	if len(later.FDs) > len(s.FDs) {
		text = append(text, fmt.Sprintf("descriptors: before %q, now %q", s.FDs, later.FDs))
	}
	if later.Routines > s.Routines {
		text = append(text, fmt.Sprintf("goroutines: %d, now %d", s.Routines, later.Routines))
	}
	if len(later.Children) > len(s.Children) {
		text = append(text, fmt.Sprintf("children: %v, now %v", s.Children, later.Children))
	}
	if later.Mounts > s.Mounts {
		text = append(text, fmt.Sprintf("mounts: %d, now %d", s.Mounts, later.Mounts))
	}
	return strings.Join(text, "; ")
}

// Leaked tells what this process holds more than before, once it has had a
// moment to let go; "" is the good case.
func (s Snapshot) Leaked(within time.Duration) string {
	deadline := time.Now().Add(within)
	for {
		text := s.more(Take())
		if text == "" || time.Now().After(deadline) {
			return text
		}
		runtime.Gosched()
		time.Sleep(5 * time.Millisecond)
	}
}

// NoLeaks checks at the end of the test that this process holds no more than
// now. Call it before anything else, in tests that do not run in parallel.
func NoLeaks(t testing.TB) {
	t.Helper()
	before := Take()
	t.Cleanup(func() {
		if text := before.Leaked(5 * time.Second); text != "" {
			t.Errorf("left: %s", text)
		}
	})
}

// Main runs the tests of a package, removes what they shared, and fails when
// the process holds more than before.
func Main(m *testing.M) {
	before := Take()
	status := m.Run()
	Clean()
	if text := before.Leaked(10 * time.Second); text != "" && status == 0 {
		fmt.Fprintln(os.Stderr, "left at the end of the run:", text)
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		status = 1
	}
	os.Exit(status)
}

// Named lists the living processes with a word in their command line, such as a
// sandbox's name.
func Named(word string) []string {
	var found []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(data), word) {
			found = append(found, fmt.Sprintf("%s %q", file, data))
		}
	}
	return found
}
