package limits_test

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// held is what a process has.
type held struct{ descriptors, threads, pages int }

// holdings of the processes of a sandbox and of this test, by what they are.
func holdings(t *testing.T, sb *core.Sandbox) map[string]held {
	t.Helper()
	// Of the host, which is this test, the heap: the race detector's own memory grows.
	host := holding(t, os.Getpid())
	runtime.GC()
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	host.pages = int(heap.HeapAlloc) / os.Getpagesize()
	out := map[string]held{"host": host, "supervisor": holding(t, int(sb.Pid()))}
	for _, p := range harness.Tree(t, int(sb.Pid())) {
		data, _ := os.ReadFile("/proc/" + strconv.Itoa(p.Pid) + "/cmdline")
		if name, _, _ := strings.Cut(string(data), "\x00"); strings.HasPrefix(name, "runsc-") {
			out[name] = holding(t, p.Pid)
		}
	}
	return out
}

func holding(t *testing.T, pid int) held {
	t.Helper()
	dir := "/proc/" + strconv.Itoa(pid)
	descriptors, err := os.ReadDir(dir + "/fd")
	require.NoError(t, err)
	threads, err := os.ReadDir(dir + "/task")
	require.NoError(t, err)
	statm, err := os.ReadFile(dir + "/statm")
	require.NoError(t, err)
	pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
	require.NoError(t, err)
	return held{len(descriptors), len(threads), pages}
}

// Thousands of programs leave nothing behind: no descriptor, thread or memory in the
// host program, supervisor, sentry or gofer, and no process in the guest.
func TestManyPrograms(t *testing.T) {
	const (
		settled          = 50
		spareDescriptors = 4       // connections that supervisor and sentry keep, as many as were once busy
		spareThreads     = 4       // of a Go runtime
		spareBytes       = 8 << 20 // what a collector has not yet given back
	)
	o := harness.Options(t)
	o.Root = harness.DirRoot(t) // with a gofer
	sb := harness.Create(t, o)
	several := func(n int) {
		for range n {
			p, err := sb.Start(core.ProcessOptions{Argv: []string{"sh", "-c", "cat /etc/data"}, Stdio: [3]core.Stdio{{}, {Kind: core.StdioLog}, {}}})
			require.NoError(t, err)
			harness.Wait(t, p.Done(), "the program to end")
			require.Equal(t, int32(0), p.Outcome().ExitCode, "%+v", p.Outcome())
			p.Close()
		}
	}
	several(settled)
	before := holdings(t, sb)
	require.Len(t, before, 4, "host, supervisor, sentry and gofer")
	begin, n := time.Now(), harness.Repeat(100, 700)
	several(n)
	t.Logf("%d programs in %v", n, time.Since(begin).Round(time.Millisecond))
	var after map[string]held
	fewer := func() bool { // what ends last is on its way
		after = holdings(t, sb)
		for name, b := range before {
			if after[name].descriptors > b.descriptors+spareDescriptors {
				return false
			}
		}
		return true
	}
	assert.Eventually(t, fewer, harness.Limit, 20*time.Millisecond, "descriptors: %v, before %v", after, before)
	for name, b := range before {
		a := after[name]
		t.Logf("%s: %d descriptors, %d threads, %d KiB; before %d, %d, %d KiB", name,
			a.descriptors, a.threads, a.pages*os.Getpagesize()>>10, b.descriptors, b.threads, b.pages*os.Getpagesize()>>10)
		assert.LessOrEqual(t, a.threads, b.threads+spareThreads, "threads of %s", name)
		assert.Less(t, (a.pages-b.pages)*os.Getpagesize(), spareBytes, "memory of %s", name)
	}
	assert.Equal(t, "1 2\n", harness.Output(t, sb, "set -- /proc/[0-9]*; echo ${1#/proc/} $#"), "pid 1, and what counts")
}
