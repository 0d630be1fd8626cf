package crash

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestOwnerKilled(t *testing.T) {
	state := newState(t)
	o := start(t, "plain", state)
	supervisor := o.expect("ready")
	tree := o.tree()
	require.GreaterOrEqual(t, len(tree), 2, "supervisor and engine")
	require.Equal(t, supervisor, tree[0].Pid)
	o.kill()
	harness.Gone(t, tree, promised)
	assert.Empty(t, harness.Entries(t, state.Dir), "the supervisor cleans up by itself")
}

// A program elsewhere that watches the sandbox learns why it ended.
func TestOwnerKilledIsTheOutcome(t *testing.T) {
	state := newState(t)
	o := start(t, "plain", state)
	o.expect("ready")
	watcher := open(t, o)
	p := harness.Shell(t, watcher, "trap '' TERM; echo up; while :; do sleep 0.05; done").Running()
	p.Line("up\n")
	o.kill()
	harness.Wait(t, watcher.Done(), "the end")
	assert.Equal(t, handle.CauseOwnerGone, watcher.Outcome().Cause)
	assert.Equal(t, handle.CauseSandboxEnded, p.End().Cause)
	harness.Swept(t, state.Dir)
}

// An owner that nobody reaps is dead all the same.
func TestOwnerKilledThatStaysAZombie(t *testing.T) {
	state := newState(t)
	o := start(t, "plain", state)
	o.expect("ready")
	watcher := open(t, o)
	require.NoError(t, o.cmd.Process.Kill())
	harness.Wait(t, watcher.Done(), "the end")
	assert.Equal(t, handle.CauseOwnerGone, watcher.Outcome().Cause)
	o.cmd.Wait()
	harness.Swept(t, state.Dir)
}

func open(t *testing.T, o *owner) *core.Sandbox {
	t.Helper()
	sb, err := core.Open(t.Context(), o.name, o.state)
	require.NoError(t, err)
	t.Cleanup(sb.Close)
	return sb
}

// A forked copy of every descriptor keeps the watchdog pipe open: the owner's
// death must be seen all the same.
func TestOwnerKilledWhoseForkLivesOn(t *testing.T) {
	state := newState(t)
	o := start(t, "forked", state)
	fork := o.expect("forked")
	defer unix.Kill(fork, unix.SIGKILL)
	supervisor := o.expect("ready")
	tree := harness.Tree(t, supervisor)
	require.NoError(t, o.cmd.Process.Kill()) // not waited for: the fork holds the output pipe
	harness.Gone(t, tree, promised)
	assert.NoError(t, unix.Kill(fork, 0), "the copies still exist")
	assert.Empty(t, harness.Entries(t, state.Dir))
}

// A stopped supervisor cannot notice anything: the next look at the state
// directory ends it.
func TestOwnerKilledWhileTheSupervisorIsStopped(t *testing.T) {
	state := newState(t)
	o := start(t, "plain", state)
	supervisor := o.expect("ready")
	tree := o.tree()
	signal(t, supervisor, unix.SIGSTOP)
	require.Eventually(t, func() bool { return stopped(supervisor) }, promised, time.Millisecond)
	assert.Len(t, list(t, state), 1, "its owner lives: it is left alone")
	require.Len(t, harness.Alive(tree), len(tree))
	o.kill()
	require.True(t, stopped(supervisor), "its owner's death must not wake it: then this test shows nothing")
	begin := time.Now()
	assert.Empty(t, list(t, state))
	assert.Less(t, time.Since(begin), promised)
	harness.Gone(t, tree, time.Second)
	assert.Empty(t, harness.Entries(t, state.Dir))
}

func TestOwnerAndSupervisorKilled(t *testing.T) {
	state := newState(t)
	o := start(t, "plain", state)
	supervisor := o.expect("ready")
	tree := o.tree()
	signal(t, o.cmd.Process.Pid, unix.SIGSTOP) // it must not clean up
	signal(t, supervisor, unix.SIGKILL)
	o.kill()
	assert.Empty(t, list(t, state), "one look sweeps")
	assert.Empty(t, harness.Alive(tree))
	assert.Empty(t, harness.Entries(t, state.Dir))
}

// What is left of a killed pair does not stand in the way of the name.
func TestNameOfTheDeadIsFree(t *testing.T) {
	state := newState(t)
	o := start(t, "plain", state)
	supervisor := o.expect("ready")
	signal(t, o.cmd.Process.Pid, unix.SIGSTOP)
	signal(t, supervisor, unix.SIGKILL)
	o.kill()
	options := harness.Options(t)
	options.Name, options.State = o.name, state
	harness.Create(t, options)
}

// Creates that lose their owner at any moment leave nothing. The moments are
// spread over a start, and a little beyond.
func TestOwnerKilledAtRandomMomentsOfACreate(t *testing.T) {
	state := newState(t)
	rounds := harness.Repeat(25, 100)
	for i := range rounds {
		o := start(t, "plain", state)
		pause := time.NewTimer(time.Duration(i) * 250 * time.Millisecond / time.Duration(rounds))
		<-pause.C // what is tested is the moment, not an order
		tree := o.tree()
		o.kill()
		require.Eventually(t, func() bool {
			return len(list(t, state)) == 0 && len(harness.Alive(tree)) == 0 && len(harness.Entries(t, state.Dir)) == 0
		}, promised, 5*time.Millisecond, "round %d: %v %v", i, harness.Alive(tree), harness.Entries(t, state.Dir))
		assert.Empty(t, harness.Named(o.name), fmt.Sprint("round ", i))
	}
}
