package matrix

import (
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

// A detach that is reported as done is written down by the supervisor; one that
// nobody has heard is an error.
func TestW03DetachTellsWhetherItWorked(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.create()
	o.send("disarm")
	require.Zero(t, o.expect("disarm", busy))
	assert.Zero(t, entryOf(t, o.o).Flags&core.FlagAttached)
	o.send("disarm")
	assert.Zero(t, o.expect("disarm", busy), "idempotent")
	signal(t, o.supervisor().Pid, unix.SIGKILL)
	o.expect("done", busy)
	o.send("disarm")
	assert.Equal(t, int(fault.Done), o.expect("disarm", busy))
}

func entryOf(t *testing.T, o core.Options) core.Entry {
	t.Helper()
	entries, err := core.List(o.State, core.ListOptions{})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	return entries[0]
}

// A supervisor that is killed in the middle has acknowledged nothing.
func TestW03DetachFromADyingSupervisorFails(t *testing.T) {
	t.Parallel()
	o := step{name: "detach.recorded", before: ready, then: does("disarm")}.to(t, "kill")
	assert.Contains(t, []int{int(fault.Gone), int(fault.Done)}, o.expect("disarm", busy))
	nothing(t, o.o, nil, busy)
}

// No terminal and no group of the owner reaches the supervisor, from its birth on.
func TestW06TheSupervisorHasASessionOfItsOwn(t *testing.T) {
	t.Parallel()
	o := step{name: "boot.begun", then: creates}.to(t, "stop")
	pid := o.supervisor().Pid
	sid, err := unix.Getsid(pid)
	require.NoError(t, err)
	group, err := unix.Getpgid(pid)
	require.NoError(t, err)
	assert.Equal(t, []int{pid, pid}, []int{sid, group})
	signal(t, pid, unix.SIGCONT)
	require.Zero(t, o.expect("ready", startTimeout+busy))
	for _, p := range o.tree()[1:] { // nor its engine
		sid, err := unix.Getsid(p.Pid)
		if err == nil {
			own, _ := unix.Getsid(o.pid())
			assert.NotEqual(t, own, sid, "process %d", p.Pid)
		}
	}
}

// A copy of every descriptor in a forked child hides nothing.
func TestW12AForkedCopyDoesNotHideTheOwnersDeath(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.create()
	tree := o.tree()
	o.send("fork")
	fork := o.expect("fork", busy)
	defer unix.Kill(fork, unix.SIGKILL)
	own, copies := descriptors(t, o.pid()), descriptors(t, fork)
	for fd, target := range own {
		if strings.HasPrefix(target, "pipe:") {
			assert.Equal(t, target, copies[fd], "the fork holds the watchdog too")
		}
	}
	require.NoError(t, o.cmd.Process.Kill()) // not reaped: the fork holds the output
	harness.Gone(t, tree, grace+busy)
	assert.NoError(t, unix.Kill(fork, 0), "the copy lives")
	nothing(t, o.o, tree, time.Second)
	require.NoError(t, unix.Kill(fork, unix.SIGKILL))
}

func TestW07TheOwnerKillsAStoppedSupervisor(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.create()
	tree := o.tree()
	signal(t, tree[0].Pid, unix.SIGSTOP)
	stopped(t, tree[0].Pid)
	begin := time.Now()
	o.send("close")
	assert.Equal(t, int(handle.CauseKilled), o.expect("done", grace+stopMargin+busy))
	assert.GreaterOrEqual(t, time.Since(begin), grace+stopMargin, "not before its time")
	nothing(t, o.o, tree, time.Second)
}

func TestW07TheSweepKillsAStoppedSupervisorOfADeadOwner(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(*testing.T, core.Options){
		"list": func(t *testing.T, o core.Options) {
			entries, err := core.List(o.State, core.ListOptions{})
			require.NoError(t, err)
			assert.Empty(t, entries)
		},
		"open": func(t *testing.T, o core.Options) {
			_, err := core.Open(t.Context(), o.Name, o.State)
			assert.ErrorIs(t, err, &fault.Error{Code: fault.NotFound})
		},
		"create": func(t *testing.T, o core.Options) {
			o.Name += "-next"
			harness.End(t, harness.Create(t, o))
		},
		"audit": func(t *testing.T, o core.Options) { assert.Empty(t, leaks(t, o)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOwner(t, options(t, uniqueName()))
			o.create()
			tree := o.tree()
			signal(t, tree[0].Pid, unix.SIGSTOP)
			stopped(t, tree[0].Pid)
			o.kill()
			look(t, o.o)
			within := time.Second
			if name == "create" { // sweeps on the side, once the new one is ready
				within = pingLimit + busy
			}
			nothing(t, o.o, tree, within)
		})
	}
}

// Its directory stays until the process is gone, however long that takes.
func TestW14NothingIsRemovedBeforeTheObservedEnd(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.create()
	tree := o.tree()
	signal(t, tree[0].Pid, unix.SIGSTOP)
	stopped(t, tree[0].Pid)
	o.send("close")
	require.Zero(t, o.expect("close", busy))
	for len(alive(tree[:1])) > 0 {
		entries := harness.Entries(t, o.o.State.Dir)
		if len(entries) == 0 {
			require.Empty(t, alive(tree[:1]), "the directory went before the process")
		}
		time.Sleep(20 * time.Millisecond)
	}
	o.expect("done", busy)
	nothing(t, o.o, tree, time.Second)
}
