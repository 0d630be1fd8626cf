// Package matrix kills and suspends owners and supervisors at each step of a sandbox's
// life on Windows, and looks for what is left, as tests/matrix does on Linux.
// tests/windows runs it.
package matrix

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/handle"
)

// What tests/windows gives, and how this program knows that it is in a sandbox.
const (
	ownerVariable = "MSB_MATRIX_OWNER"
	msbVariable   = "MSB_MATRIX_MSB"
	guestVariable = "MSB_MATRIX_GUEST"
)

// The times of the sandboxes here, and what a busy machine may add to a promise.
const (
	grace        = 200 * time.Millisecond
	startTimeout = 5 * time.Second
	stopMargin   = 3 * time.Second // handle.stopMargin
	bootMargin   = 5 * time.Second // handle.terminateGrace
	busy         = 20 * time.Second
)

var self string

func TestMain(m *testing.M) {
	if os.Getenv(guestVariable) != "" {
		time.Sleep(time.Hour)
	}
	self, _ = os.Executable()
	flag.Parse()
	flag.Set("test.parallel", "8") // most rows wait for a time limit to pass
	os.Exit(m.Run())
}

// The owner is told, and nothing is left when it has been.
func TestSupervisorKilledAtEachStep(t *testing.T) {
	each(t, supervisorSteps, func(t *testing.T, s step) {
		o := s.to(t, "kill")
		tree := o.tree()
		assert.Contains(t, s.causes(), o.expect("done", busy))
		gone(t, tree, time.Second)
		o.swept(tree)
	})
}

// The living owner ends it: at the start's time limit, or after its close.
func TestSupervisorSuspendedAtEachStep(t *testing.T) {
	each(t, supervisorSteps, func(t *testing.T, s step) {
		o := s.to(t, "stop")
		begin := time.Now()
		tree := o.tree()
		require.NotEmpty(t, tree)
		within := startTimeout + bootMargin + busy
		if !s.boots {
			within = grace + stopMargin + busy
			if !s.ends {
				o.send("close")
			}
		}
		assert.Contains(t, s.causes(), o.expect("done", within))
		assert.Greater(t, time.Since(begin), stopMargin/2, "the end was not that of the escalation")
		gone(t, tree, time.Second)
		o.swept(tree)
	})
}

// The kernel ends a suspended supervisor as well, with its owner's handle of the job.
// One that has cleared kill-on-close is nobody's, and waits.
func TestSupervisorSuspendedAtEachStepAndOwnerKilled(t *testing.T) {
	each(t, supervisorSteps, func(t *testing.T, s step) {
		o := s.to(t, "stop")
		tree := o.tree()
		require.NotEmpty(t, tree)
		o.kill()
		if s.name == "detach.recorded" {
			require.False(t, tree[0].ended(500*time.Millisecond))
			require.NoError(t, status(resume.Call(uintptr(tree[0].handle))))
			endByName(t, o.o)
		}
		gone(t, tree, busy)
		o.swept(tree)
	})
}

// endByName ends a sandbox as a stranger would.
func endByName(t *testing.T, o core.Options) {
	t.Helper()
	sb, err := core.Open(t.Context(), o.Name, o.State)
	require.NoError(t, err)
	defer sb.Close()
	require.NoError(t, sb.Stop(0))
	select {
	case <-sb.Done():
		assert.Equal(t, handle.CauseStopped, sb.Outcome().Cause)
	case <-time.After(busy):
		assert.Fail(t, "the sandbox did not end")
	}
}

// Neither cleans up: the next sweep does.
func TestBothKilledAtEachStep(t *testing.T) {
	each(t, supervisorSteps, func(t *testing.T, s step) {
		o := s.to(t, "stop")
		tree := o.tree()
		require.NotEmpty(t, tree)
		require.NoError(t, o.suspend())
		require.NoError(t, tree[0].kill())
		require.True(t, tree[0].ended(busy))
		o.kill()
		gone(t, tree, busy)
		o.swept(tree)
	})
}

// The kernel ends what the owner had.
func TestOwnerKilledAtEachStep(t *testing.T) {
	each(t, ownerSteps, func(t *testing.T, s step) {
		o := newOwner(t)
		o.send("arm " + o.o.State.Dir)
		if s.before != nil {
			s.before(o)
		}
		tree := o.tree()
		o.arm(s.name, "kill")
		s.then(o)
		o.reached()
		o.kill()
		gone(t, tree, busy)
		o.swept(tree)
	})
}

// A suspended owner is not a dead one: nobody touches what it has, and it goes on where
// it was. One that is killed later is.
func TestOwnerSuspendedAtEachStep(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(map[bool]string{false: "and resumed", true: "and killed"}[killed], func(t *testing.T) {
			each(t, ownerSteps, func(t *testing.T, s step) {
				o := s.to(t, "stop")
				tree := o.tree()
				if killed {
					o.kill()
					gone(t, tree, busy)
					o.swept(tree)
					return
				}
				_, err := core.Audit(o.o.State)
				require.NoError(t, err)
				if len(tree) > 0 && !s.ends {
					require.False(t, tree[0].ended(200*time.Millisecond), "a look does not end what is there")
				}
				require.NoError(t, o.resume())
				if s.boots {
					for range 2 { // a replaced sandbox's end may be told first
						if o.expect("ready", startTimeout+busy) == 0 {
							break
						}
					}
					o.send("close")
				}
				o.expect("done", grace+stopMargin+busy)
				gone(t, tree, stopMargin)
				o.swept(tree)
			})
		})
	}
}
