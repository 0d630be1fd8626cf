package crash

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestSupervisorKilled(t *testing.T) {
	state := newState(t)
	o := start(t, "plain", state)
	supervisor := o.expect("ready")
	tree := harness.Tree(t, supervisor)
	watcher := open(t, o)
	signal(t, supervisor, unix.SIGKILL)
	assert.Equal(t, int(handle.CauseKilled), o.expect("done"), "the owner is told")
	assert.Empty(t, harness.Alive(tree), "and nothing is left when it is")
	harness.Wait(t, watcher.Done(), "the other program to see it")
	harness.Swept(t, state.Dir)
}

// Each process of the engine alone: its death is the sandbox's, in order.
func TestEngineKilled(t *testing.T) {
	processes := 2 // sentry and gofer
	if harness.Virtual(t) {
		processes = 1 // QEMU
	}
	for which := range processes {
		state := newState(t)
		o := start(t, "plain", state)
		tree := harness.Tree(t, o.expect("ready"))
		if which+1 >= len(tree) {
			t.Fatalf("the engine has %d processes", len(tree)-1)
		}
		signal(t, tree[which+1].Pid, unix.SIGKILL)
		assert.Equal(t, int(handle.CauseCrashed), o.expect("done"), "process %d", which)
		harness.Gone(t, tree, promised)
		assert.Empty(t, harness.Entries(t, state.Dir))
	}
}
