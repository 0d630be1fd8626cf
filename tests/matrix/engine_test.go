package matrix

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// parts are the engine's own processes, by the first word of their command line.
var parts = []string{"runsc-sandbox", "runsc-gofer"}

// part finds one among the supervisor's children.
func part(t *testing.T, o *owner, name string) store.Process {
	t.Helper()
	for _, child := range store.Children(o.supervisor().Pid) {
		argv, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child.Pid))
		if first, _, _ := strings.Cut(string(argv), "\x00"); first == name {
			return child
		}
	}
	t.Fatalf("no %s among the children of %d", name, o.supervisor().Pid)
	return store.Process{}
}

// phases are what the sandbox does when a part of its engine is hit.
var phases = []step{
	{name: "ready", before: ready},
	{name: "program runs", before: occupied},
	{name: "draining", before: func(o *owner) {
		occupied(o)
		o.send("drain")
		require.Zero(o.t, o.expect("drain", busy))
	}},
	{name: "detached", before: func(o *owner) {
		occupied(o)
		o.send("disarm")
		require.Zero(o.t, o.expect("disarm", busy))
	}},
}

func eachPart(t *testing.T, test func(*testing.T, *owner, store.Process, step)) {
	t.Parallel()
	for _, name := range parts {
		for _, s := range phases {
			t.Run(name+", "+s.name, func(t *testing.T) {
				t.Parallel()
				o := newOwner(t, options(t, uniqueName()))
				s.before(o)
				test(t, o, part(t, o, name), s)
			})
		}
	}
}

// The engine cannot go on without a part of it, and the owner is told so.
func TestEngineKilledInEachPhase(t *testing.T) {
	eachPart(t, func(t *testing.T, o *owner, p store.Process, s step) {
		tree := o.tree()
		signal(t, p.Pid, unix.SIGKILL)
		assert.Equal(t, int(handle.CauseCrashed), o.expect("done", busy))
		nothing(t, o.o, tree, time.Second)
		swept(t, o.o, tree)
	})
}

// A part that does not move delays the end by no more than the grace.
func TestEngineStoppedInEachPhase(t *testing.T) {
	eachPart(t, func(t *testing.T, o *owner, p store.Process, s step) {
		tree := o.tree()
		signal(t, p.Pid, unix.SIGSTOP)
		stopped(t, p.Pid)
		o.send("stop")
		assert.Equal(t, int(handle.CauseStopped), o.expect("done", grace+stopMargin+busy))
		nothing(t, o.o, tree, time.Second)
		swept(t, o.o, tree)
	})
}

// Nor when the owner is dead and the supervisor alone.
func TestEngineStoppedInEachPhaseAndOwnerKilled(t *testing.T) {
	eachPart(t, func(t *testing.T, o *owner, p store.Process, s step) {
		tree := o.tree()
		signal(t, p.Pid, unix.SIGSTOP)
		stopped(t, p.Pid)
		o.kill()
		if s.name == "detached" {
			assert.Empty(t, leaks(t, o.o))
			endByName(t, o.o)
		}
		nothing(t, o.o, tree, grace+stopMargin)
		swept(t, o.o, tree)
	})
}

// The engine of a killed supervisor dies although it is stopped.
func TestEngineStoppedInEachPhaseAndSupervisorKilled(t *testing.T) {
	eachPart(t, func(t *testing.T, o *owner, p store.Process, s step) {
		tree := o.tree()
		signal(t, p.Pid, unix.SIGSTOP)
		stopped(t, p.Pid)
		signal(t, tree[0].Pid, unix.SIGKILL)
		assert.Equal(t, int(handle.CauseKilled), o.expect("done", busy))
		nothing(t, o.o, tree, time.Second)
		swept(t, o.o, tree)
	})
}
