package matrix

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// remains lists what a sandbox left on this machine, without the library's help:
// processes that were seen to belong to it, that name it or its directory, or
// that hold files of it; files in its state directory; mounts.
func remains(o core.Options, tree []store.Process) []string {
	left := harness.Alive(tree)
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		if why := belongs(proc, o); why != "" {
			left = append(left, proc+" "+why)
		}
	}
	filepath.WalkDir(o.State.Dir, func(path string, e os.DirEntry, err error) error {
		relative, _ := filepath.Rel(o.State.Dir, path)
		if err == nil && !stays(relative) {
			left = append(left, path)
		}
		return nil
	})
	return left
}

// stays reports what a state directory may hold without a sandbox.
func stays(relative string) bool {
	switch relative {
	case ".", "sandboxes", "stored", "metrics", "swept", ".metrics.new", "failpoint", "failpoint.reached":
		return true
	}
	first, rest, _ := strings.Cut(relative, "/")
	if first != "stored" || strings.HasPrefix(rest, ".") {
		return false
	}
	entry, _, _ := strings.Cut(rest, "/")
	return strings.HasSuffix(rest, ".json") || strings.HasSuffix(entry, ".log") // of a stored sandbox, or of a first start that failed
}

// belongs says what connects a process with the sandbox; "" when nothing does.
func belongs(proc string, o core.Options) string {
	cmdline, err := os.ReadFile(proc + "/cmdline")
	if err != nil || len(cmdline) == 0 {
		return "" // ended, or a zombie
	}
	if text := string(cmdline); strings.Contains(text, "--name="+o.Name+"\x00") || strings.Contains(text, o.State.Dir+"/") {
		return fmt.Sprintf("%.80q", text)
	}
	if proc == fmt.Sprintf("/proc/%d", os.Getpid()) {
		return ""
	}
	links, _ := filepath.Glob(proc + "/fd/*")
	for _, link := range append(links, proc+"/cwd", proc+"/root") {
		if target, _ := os.Readlink(link); strings.HasPrefix(target, o.State.Dir+"/sandboxes/") {
			return link + " is " + target
		}
	}
	mounts, _ := os.ReadFile(proc + "/mountinfo")
	if strings.Contains(string(mounts), " "+o.State.Dir+"/") {
		return "has a mount in " + o.State.Dir
	}
	return ""
}

// nothing requires that nothing is left within a time, without a sweep.
func nothing(t testing.TB, o core.Options, tree []store.Process, within time.Duration) {
	t.Helper()
	var left []string
	deadline := time.Now().Add(within)
	for {
		if left = remains(o, tree); len(left) == 0 || time.Now().After(deadline) {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	require.Empty(t, left, "left after %v", within)
}

// swept looks at the state directory once, which is the sweep, and requires
// that nothing is left then. What the kernel is still killing has a moment.
func swept(t testing.TB, o core.Options, tree []store.Process) {
	t.Helper()
	begin := time.Now()
	findings, err := core.Audit(o.State)
	require.NoError(t, err)
	assert.Less(t, time.Since(begin), pingLimit+busy, "the sweep")
	assert.Empty(t, orphans(findings))
	nothing(t, o, tree, time.Second)
}

// orphans are the findings that are leaks or run.
func orphans(findings []core.Finding) []core.Finding {
	var out []core.Finding
	for _, f := range findings {
		if f.Orphan || f.Kind != "stored" && f.Kind != "log" {
			out = append(out, f)
		}
	}
	return out
}

// leaks are the findings that are leaks.
func leaks(t testing.TB, o core.Options) []core.Finding {
	t.Helper()
	findings, err := core.Audit(o.State)
	require.NoError(t, err)
	var out []core.Finding
	for _, f := range findings {
		if f.Orphan {
			out = append(out, f)
		}
	}
	return out
}

func alive(tree []store.Process) []string { return harness.Alive(tree) }
