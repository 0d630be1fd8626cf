package matrix

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// entry is the one sandbox of the state directory.
func entry(t *testing.T, o core.Options) core.Entry {
	t.Helper()
	entries, err := core.List(o.State, core.ListOptions{Stopped: true, Labels: o.Labels})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	e := entries[0]
	assert.Equal(t, o.Name, e.Name)
	assert.Equal(t, o.Labels, e.Labels)
	assert.NotZero(t, e.Flags&core.FlagStored)
	return e
}

// A stored sandbox has the right state at each moment of its life, and its labels.
func TestStatesOfAStoredSandbox(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.o.Stored, o.o.Labels = true, []string{"a=1", "b=ü"}
	arm(t, o.o, "boot.engine", "stop")
	creates(o)
	reached(t, o.o)
	assert.Equal(t, handle.StateStarting, entry(t, o.o).State)
	signal(t, o.supervisor().Pid, unix.SIGCONT)
	require.Zero(t, o.expect("ready", busy))
	assert.Equal(t, handle.StateRunning, entry(t, o.o).State)
	assert.Equal(t, o.supervisor().Pid, int(entry(t, o.o).Pid))

	runs("sleep", "1000")(o)
	require.Zero(t, o.expect("started", busy))
	o.send("drain")
	require.Zero(t, o.expect("drain", busy))
	require.Eventually(t, func() bool { return entry(t, o.o).State == handle.StateDraining }, busy, time.Millisecond)
	o.send("stop")
	o.expect("done", busy)
	e := entry(t, o.o)
	assert.Equal(t, handle.StateStopped, e.State)
	assert.Equal(t, handle.CauseStopped, e.LastCause)
	assert.Zero(t, e.Pid)

	again(o)
	require.Zero(t, o.expect("ready", busy))
	assert.Equal(t, handle.StateRunning, entry(t, o.o).State)
	tree := o.tree()
	signal(t, tree[0].Pid, unix.SIGKILL)
	assert.Equal(t, int(handle.CauseKilled), o.expect("done", busy))
	e = entry(t, o.o)
	assert.Equal(t, handle.StateCrashed, e.State)
	assert.Equal(t, handle.CauseCrashed, e.LastCause)

	again(o) // a crashed one starts again
	require.Zero(t, o.expect("ready", busy))
	assert.Equal(t, handle.StateRunning, entry(t, o.o).State)
	o.send("kill")
	assert.Equal(t, int(handle.CauseKilled), o.expect("done", busy))
	e = entry(t, o.o)
	assert.Equal(t, handle.StateStopped, e.State, "killed on request is no crash")
	assert.Equal(t, handle.CauseKilled, e.LastCause)
	require.NoError(t, core.Remove(o.o.Name, o.o.State))
	nothing(t, o.o, tree, time.Second)
	kept, err := os.ReadDir(o.o.State.Dir + "/stored")
	require.NoError(t, err)
	assert.Empty(t, kept, "records and logs are gone")
	findings, err := core.Audit(o.o.State)
	require.NoError(t, err)
	assert.Empty(t, findings)
}

// What is stored tells the truth wherever the run that it tells of was killed.
func TestStoredStateAfterAKillAtEachStep(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]uint32{
		"claim.named": 0, "stored.written": 0, "stored.marked": handle.StateCrashed, "boot.claimed": handle.StateCrashed,
		"boot.engine": handle.StateCrashed, "boot.recorded": handle.StateCrashed, "end.decided": handle.StateCrashed,
		"end.machine": handle.StateCrashed, "stored.cleared": handle.StateStopped, "end.removed": handle.StateStopped,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOwner(t, options(t, uniqueName()))
			o.o.Stored = true
			arm(t, o.o, name, "kill")
			creates(o)
			if o.expect("ready", busy) == 0 {
				o.send("close")
			}
			o.expect("done", busy)
			if want == 0 {
				swept(t, o.o, nil)
				assert.ErrorIs(t, core.Remove(o.o.Name, o.o.State), &fault.Error{Code: fault.NotFound})
				return
			}
			assert.Equal(t, want, entry(t, o.o).State)
			again(o)
			require.Zero(t, o.expect("ready", startTimeout+busy), "it starts again")
			o.send("close")
			o.expect("done", busy)
			nothing(t, o.o, nil, time.Second)
		})
	}
}

// pending tells whether a signal waits for a stopped process.
func pending(t *testing.T, pid int, sig unix.Signal) bool {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(status), "ShdPnd:\t")
	set, err := strconv.ParseUint(rest[:16], 16, 64)
	require.NoError(t, err)
	return set&(1<<(sig-1)) != 0
}

// A create that is given up leaves nothing stored, wherever its supervisor was: one that
// notices takes its record back itself, and its log of a failed boot goes too.
func TestStoredCreateGivenUpAtEachStep(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"claim.named", "stored.written", "stored.marked", "boot.claimed", "boot.engine", "boot.recorded"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOwner(t, options(t, uniqueName()))
			o.o.Stored = true
			arm(t, o.o, name, "stop")
			creates(o)
			reached(t, o.o)
			pid := o.supervisor().Pid
			o.send("close")
			require.Eventually(t, func() bool { return pending(t, pid, unix.SIGTERM) }, busy, time.Millisecond)
			signal(t, pid, unix.SIGCONT)
			o.expect("done", busy)
			nothing(t, o.o, nil, time.Second)
			_, err := core.ReadLogs(o.o.Name, o.o.State, core.LogOptions{})
			assert.ErrorIs(t, err, &fault.Error{Code: fault.NotFound}, "its log, too")
		})
	}
}

// A sandbox with a program is not idle, however quiet that is.
func TestIdleTimeoutSparesPrograms(t *testing.T) {
	t.Parallel()
	o := options(t, uniqueName())
	o.IdleTimeout = 300 * time.Millisecond
	sb := harness.Create(t, o)
	p := harness.Start(t, sb, core.ProcessOptions{Argv: []string{"sleep", "1.2"}}).Running()
	program := p.End()
	assert.Equal(t, int32(0), program.ExitCode)
	assert.GreaterOrEqual(t, program.WallTime, 1200*time.Millisecond)
	harness.Wait(t, sb.Done(), "the idle time to pass")
	assert.Equal(t, handle.CauseIdleTimeout, sb.Outcome().Cause)
	assert.GreaterOrEqual(t, sb.Outcome().WallTime, program.WallTime+o.IdleTimeout, "it begins with the program's end")
	nothing(t, o, nil, time.Second)
}

// Programs that come one after another keep it alive, too.
func TestIdleTimeoutBeginsAnewWithEachProgram(t *testing.T) {
	t.Parallel()
	o := options(t, uniqueName())
	o.IdleTimeout = time.Second
	sb := harness.Create(t, o)
	for begin := time.Now(); time.Since(begin) < 2*time.Second; {
		assert.Equal(t, "x", harness.Output(t, sb, "sleep 0.2; printf x"))
	}
	harness.Wait(t, sb.Done(), "the idle time to pass")
	assert.Equal(t, handle.CauseIdleTimeout, sb.Outcome().Cause)
}

// The longest life is an end for a busy and detached sandbox as well.
func TestMaxDurationEndsABusyDetachedSandbox(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.o.Detached, o.o.MaxDuration = true, 1500*time.Millisecond
	occupied(o)
	tree := o.tree()
	o.kill()
	sb := byName(t, o.o)
	harness.Wait(t, sb.Done(), "the end")
	assert.Equal(t, handle.CauseMaxDuration, sb.Outcome().Cause)
	nothing(t, o.o, tree, time.Second)
}
