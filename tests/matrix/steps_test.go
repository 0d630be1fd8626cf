package matrix

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/cgroup"
	"github.com/libmicrosandbox/microsandbox/core/handle"
)

// step is a place in the life of a sandbox where a process can be hit, and what
// the owner does to get there. before runs without a failpoint.
type step struct {
	name   string
	before func(*owner)
	then   func(*owner)
	boots  bool // the sandbox is not yet ready there
	ends   bool // its end has been asked for
	keeps  bool // it is a stored sandbox
}

func creates(o *owner) { o.sendJSON("create", o.o) }
func ready(o *owner)   { o.create() }
func runs(argv ...string) func(*owner) {
	return func(o *owner) { o.sendJSON("start", core.ProcessOptions{Argv: argv}) }
}

// onItsTerminal runs a program that has a terminal, and so a helper.
func onItsTerminal(argv ...string) func(*owner) {
	pty := core.Stdio{Kind: core.StdioPty}
	return func(o *owner) {
		o.sendJSON("start", core.ProcessOptions{Argv: argv, Stdio: [3]core.Stdio{pty, pty, pty}})
	}
}

func does(verb string) func(*owner) { return func(o *owner) { o.send(verb) } }

// occupied runs a program first that ends by itself only when it is killed.
func occupied(o *owner) {
	ready(o)
	runs("sleep", "1000")(o)
	require.Zero(o.t, o.expect("started", startTimeout+busy))
}

func storing(o *owner) {
	o.o.Stored = true
	creates(o)
}

// storedOnce makes a stored sandbox and ends it.
func storedOnce(o *owner) {
	o.o.Stored = true
	ready(o)
	o.send("close")
	o.expect("done", grace+stopMargin+busy)
}

func again(o *owner) {
	o.sendJSON("again", core.Options{
		Name: o.o.Name, MsbPath: o.o.MsbPath, State: o.o.State, StartTimeout: o.o.StartTimeout})
}

// replaces lets the same owner replace the sandbox that it has.
func replaces(o *owner) {
	o.o.Replace, o.o.ReplaceGrace = true, -1
	creates(o)
}

func keeps(o *owner) {
	o.o.Stored = true
	ready(o)
}

// supervisorSteps are the places in the supervisor, in order of a life.
var supervisorSteps = append(confineSteps(), []step{
	{name: "boot.begun", then: creates, boots: true},
	{name: "claim.made", then: creates, boots: true},
	{name: "claim.locked", then: creates, boots: true},
	{name: "claim.written", then: creates, boots: true},
	{name: "claim.named", then: creates, boots: true},
	{name: "stored.written", then: storing, boots: true, keeps: true},
	{name: "stored.marked", then: storing, boots: true, keeps: true},
	{name: "stored.marked", before: storedOnce, then: again, boots: true, keeps: true},
	{name: "boot.claimed", then: creates, boots: true},
	{name: "boot.engine", then: creates, boots: true},
	{name: "boot.recorded", then: creates, boots: true},
	{name: "boot.ready", then: creates},
	{name: "start.terminal", before: ready, then: onItsTerminal("sleep", "1000")},
	{name: "start.received", before: ready, then: runs("true")},
	{name: "start.running", before: ready, then: runs("true")},
	{name: "exit.seen", before: ready, then: runs("true")},
	{name: "drain.begun", before: occupied, then: does("drain")},
	{name: "detach.recorded", before: ready, then: does("disarm")},
	{name: "end.decided", before: occupied, then: does("close"), ends: true},
	{name: "end.machine", before: occupied, then: does("stop"), ends: true},
	{name: "stored.cleared", before: keeps, then: does("close"), ends: true, keeps: true},
	{name: "discard.renamed", before: ready, then: does("close"), ends: true},
	{name: "end.removed", before: ready, then: does("close"), ends: true},
}...)

// confineSteps are those of the control group, where one can be made here.
func confineSteps() []step {
	host, err := cgroup.Look()
	if err != nil || host.Find(cgroup.Memory).Version == 0 {
		return nil
	}
	return []step{
		{name: "confine.noted", then: creates},
		{name: "confine.made", then: creates},
		{name: "confine.moved", then: creates},
	}
}

// ownerSteps are the places in the owner.
var ownerSteps = []step{
	{name: "launch.spawned", then: creates, boots: true},
	{name: "launch.started", then: creates, boots: true},
	{name: "close.begun", before: occupied, then: does("close"), ends: true},
	{name: "replace.ended", before: keeps, then: replaces, boots: true, keeps: true},
	{name: "replace.forgotten", before: keeps, then: replaces, boots: true, keeps: true},
}

func (s step) title() string {
	if s.before != nil && s.keeps && s.boots {
		return s.name + " again"
	}
	return s.name
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
	o := newOwner(t, options(t, uniqueName()))
	o.send("arm " + o.o.State.Dir)
	if s.before != nil {
		s.before(o)
	}
	arm(t, o.o, s.name, action)
	s.then(o)
	reached(t, o.o)
	return o
}
