package limits_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/cgroup"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// find tells where the supervisors of this test, which are in its own group, make
// theirs.
func find(t *testing.T, controller string) cgroup.Place {
	t.Helper()
	host, err := cgroup.Look()
	require.NoError(t, err)
	return host.Find(controller)
}

func needs(t *testing.T, controllers ...string) {
	t.Helper()
	for _, c := range controllers {
		if place := find(t, c); place.Version == 0 {
			t.Skipf("needs a control group with the %s controller that may be written: %s", c, place.Why)
		}
	}
}

// confined waits until the receipt names the group; that comes after the start.
func confined(t *testing.T, sb *core.Sandbox) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(receipt(t, sb, "memory"), "cgroup v") }, harness.Limit, 10*time.Millisecond)
}

func groups(o core.Options) []string { return cgroup.Left(store.CgroupOwner(o.State.Dir)) }

func commands(t *testing.T, group string) []string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	require.NoError(t, err)
	var out []string
	for _, pid := range strings.Fields(string(data)) {
		name, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		argv0, _, _ := strings.Cut(string(name), "\x00")
		out = append(out, argv0)
	}
	return out
}

// The engine's process is in a group of its own, alone; it is audited, and gone with
// the sandbox.
func TestGroupOfASandbox(t *testing.T) {
	needs(t, cgroup.Memory)
	o := harness.Options(t)
	o.Root = harness.DirRoot(t) // with a gofer
	sb := harness.Create(t, o)
	confined(t, sb)
	dirs := groups(o)
	require.Len(t, dirs, 1)
	sentries := 0
	for _, argv0 := range commands(t, dirs[0]) {
		assert.Contains(t, []string{"runsc-sandbox", "exe", ""}, argv0, "the sentry and systrap's stubs, nothing else")
		if argv0 == "runsc-sandbox" {
			sentries++
		}
	}
	assert.Equal(t, 1, sentries)
	assert.Equal(t, "here\n", harness.Output(t, sb, "echo here"))
	findings, err := core.Audit(o.State)
	require.NoError(t, err)
	found := ""
	for _, f := range findings {
		assert.False(t, f.Orphan, "%+v", f)
		if f.Kind == "cgroup" {
			found = f.Detail
		}
	}
	assert.Contains(t, found, dirs[0])
	harness.End(t, sb)
	assert.Empty(t, groups(o))
}

// A sandbox that ends before it has a group makes none.
func TestShortLifeMakesNoGroup(t *testing.T) {
	needs(t, cgroup.Memory)
	o := harness.Options(t)
	harness.End(t, harness.Create(t, o))
	assert.Empty(t, groups(o))
}

// Memory that is taken within the group ends the sandbox by its limit, and is told
// from a crash.
func TestMemoryInAGroup(t *testing.T) {
	needs(t, cgroup.Memory)
	o := harness.Options(t)
	o.MemoryBytes = 128 << 20
	sb := harness.Create(t, o)
	confined(t, sb)
	p := harness.Shell(t, sb, "dd if=/dev/zero of=/dev/null bs=512M count=1")
	out := p.Running().End()
	assert.Equal(t, handle.CauseMemoryLimit, out.Cause)
	assert.Equal(t, handle.LimitHitMemory, out.Limits)
	harness.Wait(t, sb.Done(), "the sandbox to end")
	assert.Equal(t, handle.CauseMemoryLimit, sb.Outcome().Cause)
	assert.Empty(t, groups(o))

	o.State = harness.State(t)
	sb = harness.Create(t, o)
	confined(t, sb)
	killSentry(t, groups(o)[0])
	harness.Wait(t, sb.Done(), "the sandbox to end")
	assert.Equal(t, handle.CauseCrashed, sb.Outcome().Cause, "killed from elsewhere, not for its memory")
	assert.Empty(t, groups(o))
}

func killSentry(t *testing.T, group string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	require.NoError(t, err)
	for i, argv0 := range commands(t, group) {
		if argv0 == "runsc-sandbox" {
			pid, err := strconv.Atoi(strings.Fields(string(data))[i])
			require.NoError(t, err)
			require.NoError(t, unix.Kill(pid, unix.SIGKILL))
		}
	}
}

// Whoever finds a killed supervisor removes its groups.
func TestGroupOfAKilledSupervisor(t *testing.T) {
	needs(t, cgroup.Memory)
	t.Run("owner lives", func(t *testing.T) {
		o := harness.Options(t)
		sb := harness.Create(t, o)
		confined(t, sb)
		require.NoError(t, unix.Kill(int(sb.Pid()), unix.SIGKILL))
		harness.Wait(t, sb.Done(), "the sandbox to be gone")
		assert.Empty(t, groups(o))
	})
	t.Run("next sweep", func(t *testing.T) {
		o := harness.Options(t)
		owner := store.CgroupOwner(o.State.Dir)
		harness.End(t, harness.Create(t, o)) // makes the state directory
		stray := filepath.Join(find(t, cgroup.Memory).Parent, cgroup.Name(owner, "stray"))
		require.NoError(t, os.Mkdir(stray, 0o755))
		t.Cleanup(func() { os.Remove(stray) })
		_, err := core.Audit(o.State) // sweeps first
		require.NoError(t, err)
		assert.NoDirExists(t, stray)
	})
}

// Shares and quotas of processor time are in force from the first program on.
func TestProcessors(t *testing.T) {
	needs(t, cgroup.Memory, cgroup.CPU)
	o := harness.Options(t)
	o.Limits = core.Limits{CPUPermille: 200, CPUWeight: 50}
	sb := harness.Create(t, o)
	assert.Contains(t, receipt(t, sb, "processors"), "200 permille")
	assert.Contains(t, receipt(t, sb, "processors"), "cgroup v")
	assert.Equal(t, o.Limits.CPUPermille, info(t, sb).Limits.CPUPermille)
	assert.Equal(t, o.Limits.CPUWeight, info(t, sb).Limits.CPUWeight)
	steps, engine := 200000, "runsc-sandbox"
	if harness.Virtual(t) {
		steps, engine = 10000, "qemu-system-x86_64" // emulated, each takes 20 times as long
	}
	harness.Output(t, sb, fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); done", steps))
	assert.NotZero(t, throttled(t, groups(o)), "it had to wait for its share")
	for _, dir := range groups(o) {
		assert.Contains(t, commands(t, dir), engine)
	}
	harness.End(t, sb)
	assert.Empty(t, groups(o))
}

// throttled is how often processes of the groups had to wait.
func throttled(t *testing.T, groups []string) int {
	t.Helper()
	total := 0
	for _, dir := range groups {
		data, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
		if err != nil {
			continue // a group for memory
		}
		for _, line := range strings.Split(string(data), "\n") {
			if text, ok := strings.CutPrefix(line, "nr_throttled "); ok {
				n, err := strconv.Atoi(text)
				require.NoError(t, err)
				total += n
			}
		}
	}
	return total
}

// What cannot be enforced is refused, never left out.
func TestProcessorsWithoutAGroup(t *testing.T) {
	if place := find(t, cgroup.CPU); place.Version != 0 {
		t.Skip("needs a user or machine without a control group for processors that may be written; here is ", place.Parent)
	}
	for _, l := range []core.Limits{{CPUPermille: 500}, {CPUWeight: 50}} {
		o := harness.Options(t)
		o.Limits = l
		_, err := core.Probe(context.Background(), o)
		assert.Equal(t, fault.Setup, fault.From(err).Code, "%v", err)
		assert.ErrorContains(t, err, "control group")
		harness.Swept(t, o.State.Dir)
	}
}
