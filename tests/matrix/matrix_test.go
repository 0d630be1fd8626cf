package matrix

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// each runs a test for each step, a few at once.
func each(t *testing.T, steps []step, test func(*testing.T, step)) {
	t.Parallel()
	for _, s := range steps {
		t.Run(s.title(), func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// The owner is told, and nothing is left when it has been.
func TestSupervisorKilledAtEachStep(t *testing.T) {
	each(t, supervisorSteps, func(t *testing.T, s step) {
		o := s.to(t, "kill")
		assert.Contains(t, s.causes(), o.expect("done", busy))
		nothing(t, o.o, nil, time.Second)
		swept(t, o.o, nil)
	})
}

// The living owner kills it: at the start's time limit, or after its close.
func TestSupervisorStoppedAtEachStep(t *testing.T) {
	each(t, supervisorSteps, func(t *testing.T, s step) {
		o := s.to(t, "stop")
		begin := time.Now()
		tree := o.tree()
		require.NotEmpty(t, tree)
		stopped(t, tree[0].Pid)
		within := startTimeout + bootMargin + busy
		if !s.boots {
			within = grace + stopMargin + busy
			if !s.ends {
				o.send("close")
			}
		}
		assert.Contains(t, s.causes(), o.expect("done", within))
		assert.Greater(t, time.Since(begin), stopMargin/2, "the end was not that of the escalation")
		nothing(t, o.o, tree, time.Second)
		swept(t, o.o, tree)
	})
}

// Nobody is left to kill it but the next sweep.
func TestSupervisorStoppedAtEachStepAndOwnerKilled(t *testing.T) {
	each(t, supervisorSteps, func(t *testing.T, s step) {
		o := s.to(t, "stop")
		tree := o.tree()
		require.NotEmpty(t, tree)
		stopped(t, tree[0].Pid)
		o.kill()
		if s.name == "detach.recorded" { // it is nobody's, and waits
			assert.Empty(t, leaks(t, o.o))
			require.Equal(t, len(tree), len(alive(tree)))
			signal(t, tree[0].Pid, unix.SIGCONT)
			endByName(t, o.o)
			nothing(t, o.o, tree, time.Second)
		}
		swept(t, o.o, tree)
	})
}

// endByName ends a sandbox as a stranger would.
func endByName(t *testing.T, o core.Options) {
	t.Helper()
	sb, err := core.Open(t.Context(), o.Name, o.State)
	require.NoError(t, err)
	require.NoError(t, sb.Stop(0))
	harness.Wait(t, sb.Done(), "the end")
	assert.Equal(t, handle.CauseStopped, sb.Outcome().Cause)
}

// Neither cleans up: the next sweep does.
func TestBothKilledAtEachStep(t *testing.T) {
	each(t, supervisorSteps, func(t *testing.T, s step) {
		o := s.to(t, "stop")
		tree := o.tree()
		require.NotEmpty(t, tree)
		stopped(t, tree[0].Pid)
		signal(t, o.pid(), unix.SIGSTOP)
		stopped(t, o.pid())
		signal(t, tree[0].Pid, unix.SIGKILL)
		harness.Gone(t, tree[:1], busy)
		o.kill()
		swept(t, o.o, tree)
	})
}

// The supervisor notices by itself.
func TestOwnerKilledAtEachStep(t *testing.T) {
	each(t, ownerSteps, func(t *testing.T, s step) {
		o := s.to(t, "kill")
		tree := o.tree()
		o.kill()
		nothing(t, o.o, tree, grace+busy)
		swept(t, o.o, tree)
	})
}

// A stopped owner is not a dead one: nobody touches what it has, and it goes on
// where it was.
func TestOwnerStoppedAtEachStep(t *testing.T) {
	each(t, ownerSteps, func(t *testing.T, s step) {
		o := s.to(t, "stop")
		stopped(t, o.pid())
		tree := o.tree()
		assert.Empty(t, leaks(t, o.o))
		for _, p := range tree[:min(1, len(tree))] { // below it, one that boots has short-lived helpers
			require.True(t, p.Alive(), "a look does not end what is there")
		}
		signal(t, o.pid(), unix.SIGCONT)
		if s.boots {
			for range 2 { // a replaced sandbox's end may be told first
				if o.expect("ready", startTimeout+busy) == 0 {
					break
				}
			}
			o.send("close")
		}
		o.expect("done", grace+stopMargin+busy)
		nothing(t, o.o, nil, stopMargin)
		swept(t, o.o, nil)
	})
}

// A stopped owner that is killed later is a dead one.
func TestOwnerStoppedAtEachStepAndKilled(t *testing.T) {
	each(t, ownerSteps, func(t *testing.T, s step) {
		o := s.to(t, "stop")
		stopped(t, o.pid())
		tree := o.tree()
		o.kill()
		nothing(t, o.o, tree, grace+busy)
		swept(t, o.o, tree)
	})
}
