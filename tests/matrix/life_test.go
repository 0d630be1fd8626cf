package matrix

import (
	"os/exec"
	"syscall"
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

// ends are the ways in which an owner can go.
var ends = map[string]func(*testing.T, *owner){
	"exit": func(t *testing.T, o *owner) {
		o.in.Close()
		require.Zero(t, o.ended())
	},
	"killed": func(t *testing.T, o *owner) { o.kill() },
	"interrupt": func(t *testing.T, o *owner) { // to its process group, as a terminal does
		require.NoError(t, unix.Kill(-o.pid(), unix.SIGINT))
		require.Equal(t, unix.SIGINT, o.ended())
	},
	"hang-up": func(t *testing.T, o *owner) {
		require.NoError(t, unix.Kill(-o.pid(), unix.SIGHUP))
		require.Equal(t, unix.SIGHUP, o.ended())
	},
	"closed terminal": func(t *testing.T, o *owner) {
		require.NoError(t, o.terminal.Close())
		require.Equal(t, unix.SIGHUP, o.ended())
	},
}

func eachEnd(t *testing.T, test func(*testing.T, *owner, func())) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o *owner
			if name == "closed terminal" {
				o = onTerminal(t, options(t, uniqueName()))
			} else {
				o = newOwner(t, options(t, uniqueName()), func(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} })
			}
			test(t, o, func() { end(t, o) })
		})
	}
}

func TestDetachedSandboxOutlivesEachEndOfItsOwner(t *testing.T) {
	eachEnd(t, func(t *testing.T, o *owner, end func()) {
		o.o.Detached = true
		occupied(o)
		tree := o.tree()
		end()
		outlives(t, o, len(tree))
	})
}

func TestDisarmedSandboxOutlivesEachEndOfItsOwner(t *testing.T) {
	eachEnd(t, func(t *testing.T, o *owner, end func()) {
		occupied(o)
		o.send("disarm")
		require.Zero(t, o.expect("disarm", busy))
		tree := o.tree()
		end()
		outlives(t, o, len(tree))
	})
}

// outlives requires that the sandbox and its program live on without the owner.
func outlives(t *testing.T, o *owner, processes int) {
	t.Helper()
	assert.Empty(t, leaks(t, o.o))
	tree := o.tree()
	require.Len(t, tree, processes)
	sb := byName(t, o.o)
	info, err := sb.Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, uint32(1), info.Programs, "its program runs on")
	assert.Zero(t, info.Flags&(core.FlagAttached|core.FlagOwner))
	assert.Equal(t, "in", harness.Output(t, sb, "printf in"))
	endByName(t, o.o)
	nothing(t, o.o, tree, time.Second)
}

// The same ends take an attached sandbox along.
func TestAttachedSandboxEndsWithItsOwner(t *testing.T) {
	eachEnd(t, func(t *testing.T, o *owner, end func()) {
		occupied(o)
		tree := o.tree()
		end()
		nothing(t, o.o, tree, grace+busy)
	})
}

// byName opens a sandbox from this process, which is not its owner.
func byName(t *testing.T, o core.Options) *core.Sandbox {
	t.Helper()
	sb, err := core.Open(t.Context(), o.Name, o.State)
	require.NoError(t, err)
	t.Cleanup(sb.Close)
	return sb
}

// A stranger's verbs have the outcome that they say, for everybody.
func TestVerbsOfStrangers(t *testing.T) {
	t.Parallel()
	for name, verb := range map[string]struct {
		ask   func(*core.Sandbox) error
		cause uint32
	}{
		"stop":  {func(sb *core.Sandbox) error { return sb.Stop(-1) }, handle.CauseStopped},
		"kill":  {func(sb *core.Sandbox) error { return sb.Kill() }, handle.CauseKilled},
		"drain": {func(sb *core.Sandbox) error { return sb.Drain(-1) }, handle.CauseDrained},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOwner(t, options(t, uniqueName()))
			o.create()
			tree := o.tree()
			watcher, actor := byName(t, o.o), byName(t, o.o)
			assert.ErrorIs(t, actor.Disarm(t.Context()), &fault.Error{Code: fault.State}, "that is the owner's")
			require.NoError(t, verb.ask(actor))
			for _, sb := range []*core.Sandbox{actor, watcher} {
				harness.Wait(t, sb.Done(), "the end")
				assert.Equal(t, verb.cause, sb.Outcome().Cause)
				assert.ErrorIs(t, sb.Kill(), &fault.Error{Code: fault.Done})
			}
			assert.Equal(t, int(verb.cause), o.expect("done", busy))
			nothing(t, o.o, tree, time.Second)
		})
	}
}

// The user's word counts more than that of the program that made the sandbox.
func TestOwnerClosesAfterAStrangerDetached(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	occupied(o)
	tree := o.tree()
	require.NoError(t, byName(t, o.o).Detach(t.Context()))
	o.send("close")
	assert.Equal(t, int(handle.CauseUnknown), o.expect("done", busy), "the handle is given up")
	o.in.Close()
	o.kill()
	outlives(t, o, len(tree))
}

// Programs of the old one get the grace that was asked for, and the owner of the
// old one learns what happened.
func TestReplaceWithGrace(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.create()
	p := harness.Shell(t, byName(t, o.o), "trap 'sleep 0.3; exit 7' TERM; echo up; while :; do sleep 0.05; done").Running()
	p.Line("up\n")
	old := o.supervisor()

	next := o.o
	next.Replace, next.ReplaceGrace = true, 20*time.Second
	begin := time.Now()
	sb := harness.Create(t, next)
	assert.Less(t, time.Since(begin), 15*time.Second, "nobody waits for the grace to pass")
	assert.Equal(t, int(handle.CauseStopped), o.expect("done", busy))
	assert.Equal(t, int32(7), p.End().ExitCode, "it had the time")
	assert.False(t, old.Alive())
	assert.Equal(t, "in", harness.Output(t, sb, "printf in"))
	harness.End(t, sb)
	nothing(t, o.o, nil, time.Second)
}
