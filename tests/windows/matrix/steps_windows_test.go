package matrix

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/handle"
)

// step is a place in the life of a sandbox where a process can be hit, and what the
// owner does to get there. before runs without a failpoint.
type step struct {
	name   string
	title  string // "": its name
	before func(*owner)
	then   func(*owner)
	boots  bool // the sandbox is not yet ready there
	ends   bool // its end has been asked for
}

func creates(o *owner) { o.sendJSON("create", o.o) }
func ready(o *owner) {
	creates(o)
	require.Zero(o.t, o.expect("ready", busy))
}
func runs(o *owner) {
	o.sendJSON("start", core.ProcessOptions{Argv: []string{"cmd.exe", "/c", "exit 0"}})
}
func does(verb string) func(*owner) { return func(o *owner) { o.send(verb) } }

// occupied runs a program that ends only when it is ended.
func occupied(o *owner) {
	ready(o)
	o.sendJSON("start", core.ProcessOptions{Argv: []string{self}, Env: []string{guestVariable + "=1"}})
	require.Zero(o.t, o.expect("started", busy))
}

func keeps(o *owner) {
	o.o.Stored = true
	ready(o)
}

func storing(o *owner) {
	o.o.Stored = true
	creates(o)
}

func storedOnce(o *owner) {
	keeps(o)
	o.send("close")
	o.expect("done", busy)
}

func again(o *owner) {
	o.sendJSON("again", core.Options{Name: o.o.Name, MsbPath: o.o.MsbPath, State: o.o.State, StartTimeout: startTimeout})
}

func replaces(o *owner) {
	o.o.Replace, o.o.ReplaceGrace = true, -1
	creates(o)
}

// supervisorSteps are the places in the supervisor, in order of a life.
var supervisorSteps = []step{
	{name: "boot.begun", then: creates, boots: true},
	{name: "claim.locked", then: creates, boots: true},
	{name: "claim.named", then: creates, boots: true},
	{name: "stored.written", then: storing, boots: true},
	{name: "stored.marked", then: storing, boots: true},
	{name: "stored.marked", title: "stored.marked again", before: storedOnce, then: again, boots: true},
	{name: "boot.claimed", then: creates, boots: true},
	{name: "boot.engine", then: creates, boots: true},
	{name: "boot.recorded", then: creates, boots: true},
	{name: "boot.ready", then: creates},
	{name: "start.received", before: ready, then: runs},
	{name: "start.running", before: ready, then: runs},
	{name: "exit.seen", before: ready, then: runs},
	{name: "drain.begun", before: occupied, then: does("drain")},
	{name: "detach.recorded", before: ready, then: does("disarm")},
	{name: "end.decided", before: occupied, then: does("close"), ends: true},
	{name: "end.machine", before: occupied, then: does("stop"), ends: true},
	{name: "stored.cleared", before: keeps, then: does("close"), ends: true},
	{name: "end.removed", before: ready, then: does("close"), ends: true},
}

// ownerSteps are the places in the owner.
var ownerSteps = []step{
	{name: "launch.spawned", then: creates, boots: true},
	{name: "launch.started", then: creates, boots: true},
	{name: "close.begun", before: occupied, then: does("close"), ends: true},
	{name: "replace.ended", before: keeps, then: replaces, boots: true},
	{name: "replace.forgotten", before: keeps, then: replaces, boots: true},
}

// causes are the ends that the owner may see when the supervisor is killed there.
func (s step) causes() []int {
	switch {
	case s.name == "boot.ready": // the word may or may not have been sent
		return []int{int(handle.CauseKilled), int(handle.CauseStartFailed)}
	case s.boots:
		return []int{int(handle.CauseStartFailed)}
	}
	return []int{int(handle.CauseKilled)}
}

// to brings a new owner to the step, where action happens, and returns it.
func (s step) to(t *testing.T, action string) *owner {
	t.Helper()
	o := newOwner(t)
	o.send("arm " + o.o.State.Dir)
	if s.before != nil {
		s.before(o)
	}
	o.arm(s.name, action)
	s.then(o)
	o.reached()
	return o
}

// each runs a test for each step, a few at once.
func each(t *testing.T, steps []step, test func(*testing.T, step)) {
	t.Parallel()
	for _, s := range steps {
		title := s.title
		if title == "" {
			title = s.name
		}
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}
