//go:build linux

package handle_test

import (
	"sync"
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

// stubborn ignores TERM.
const stubborn = "trap '' TERM; echo up; while :; do sleep 0.05; done"

func TestKillWhileOthersWait(t *testing.T) {
	harness.NoLeaks(t)
	o := harness.Options(t)
	sb := harness.Create(t, o)
	p := harness.Shell(t, sb, "echo up; cat").Running()
	p.Line("up\n")
	tree := harness.Tree(t, int(sb.Pid()))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { <-sb.Done() })
		wg.Go(func() { <-p.Done() })
	}
	begin := time.Now()
	require.NoError(t, sb.Kill())
	wg.Wait()
	assert.Less(t, time.Since(begin), 5*time.Second)
	assert.Equal(t, handle.CauseKilled, sb.Outcome().Cause)
	assert.Equal(t, handle.CauseSandboxEnded, p.Outcome().Cause)
	assert.Empty(t, harness.Alive(tree), "nothing is left once Done is closed")
	assert.Empty(t, harness.Entries(t, o.State.Dir))
	assert.ErrorIs(t, sb.Kill(), code(fault.Done))
}

func TestKillOfAStoppedSupervisor(t *testing.T) {
	o := harness.Options(t)
	sb := harness.Create(t, o)
	tree := harness.Tree(t, int(sb.Pid()))
	freeze(t, sb)
	require.NoError(t, sb.Kill())
	harness.Wait(t, sb.Done(), "the kill")
	assert.Empty(t, harness.Alive(tree))
	assert.Empty(t, harness.Entries(t, o.State.Dir))
}

// freeze stops the supervisor, as a debugger or a wedged kernel would.
func freeze(t *testing.T, sb *core.Sandbox) {
	t.Helper()
	require.NoError(t, unix.Kill(int(sb.Pid()), unix.SIGSTOP))
	require.Eventually(t, func() bool { return state(int(sb.Pid())) == "T" }, 5*time.Second, time.Millisecond)
}

func TestCloseOfAStoppedSupervisorEscalates(t *testing.T) {
	harness.NoLeaks(t)
	o := harness.Options(t)
	sb := harness.Create(t, o)
	tree := harness.Tree(t, int(sb.Pid()))
	freeze(t, sb)
	begin := time.Now()
	sb.Close()
	assert.Less(t, time.Since(begin), time.Second, "close does not block")
	harness.Wait(t, sb.Done(), "the escalation")
	assert.Less(t, time.Since(begin), 8*time.Second, "no grace, 3 s to answer, and a little")
	assert.Equal(t, handle.CauseKilled, sb.Outcome().Cause)
	assert.Empty(t, harness.Alive(tree))
	assert.Empty(t, harness.Entries(t, o.State.Dir))
}

func TestStopLetsProgramsFinish(t *testing.T) {
	o := harness.Options(t)
	o.StopGrace = 20 * time.Second
	sb := harness.Create(t, o)
	p := harness.Shell(t, sb, "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done").Running()
	p.Line("up\n")
	begin := time.Now()
	require.NoError(t, sb.Stop(-1))
	p.Line("bye\n")
	assert.Equal(t, int32(5), p.End().ExitCode)
	harness.Wait(t, sb.Done(), "the stop")
	assert.Less(t, time.Since(begin), 10*time.Second, "nobody waits for the grace to pass")
	assert.Equal(t, handle.CauseStopped, sb.Outcome().Cause)
}

func TestStopKillsAfterTheGrace(t *testing.T) {
	sb := harness.New(t)
	p := harness.Shell(t, sb, stubborn).Running()
	p.Line("up\n")
	const grace = 400 * time.Millisecond
	begin := time.Now()
	require.NoError(t, sb.Stop(grace))
	harness.Wait(t, sb.Done(), "the stop")
	assert.GreaterOrEqual(t, time.Since(begin), grace)
	assert.Less(t, time.Since(begin), 5*time.Second)
	assert.Equal(t, handle.CauseStopped, sb.Outcome().Cause)
	assert.Equal(t, handle.CauseSandboxEnded, p.Outcome().Cause)
}

func TestStopOfAnOpenedHandleIsNotLost(t *testing.T) {
	o := harness.Options(t)
	o.Name = "s"
	for range harness.Repeat(10, 100) {
		sb := harness.Create(t, o)
		other, err := core.Open(context10(t), "s", o.State)
		require.NoError(t, err)
		require.NoError(t, other.Stop(0))
		other.Close()
		harness.Wait(t, sb.Done(), "the stop")
		assert.Equal(t, handle.CauseStopped, sb.Outcome().Cause)
	}
}

func TestDrainWaitsForPrograms(t *testing.T) {
	sb := harness.New(t)
	p := harness.Shell(t, sb, "echo up; read x; exit 6").Running()
	p.Line("up\n")
	require.NoError(t, sb.Drain(-1))
	refused := refusal(t, sb)
	assert.ErrorIs(t, refused, code(fault.State))
	require.Eventually(t, func() bool { // the request is on its way
		info, err := sb.Info(context10(t))
		require.NoError(t, err)
		return info.State == handle.StateDraining
	}, harness.Limit, time.Millisecond)
	_, err := p.Stdin.WriteString("go\n")
	require.NoError(t, err)
	assert.Equal(t, int32(6), p.End().ExitCode)
	harness.Wait(t, sb.Done(), "the drain")
	assert.Equal(t, handle.CauseDrained, sb.Outcome().Cause)
}

// refusal starts programs until one is refused: the drain is on its way.
func refusal(t *testing.T, sb *core.Sandbox) error {
	t.Helper()
	deadline := time.Now().Add(harness.Limit)
	for time.Now().Before(deadline) {
		p, err := sb.Start(core.ProcessOptions{Argv: []string{"true"}})
		if err != nil {
			return err
		}
		harness.Wait(t, p.Done(), "a program to end or be refused")
		p.Close()
		if err := p.StartErr(); err != nil {
			return err
		}
	}
	t.Fatal("the drain refuses nothing")
	return nil
}

func TestDrainOfAnIdleSandboxEndsIt(t *testing.T) {
	sb := harness.New(t)
	require.NoError(t, sb.Drain(-1))
	harness.Wait(t, sb.Done(), "the drain")
	assert.Equal(t, handle.CauseDrained, sb.Outcome().Cause)
}

func TestDrainDeadline(t *testing.T) {
	o := harness.Options(t)
	o.StopGrace = 300 * time.Millisecond
	sb := harness.Create(t, o)
	p := harness.Shell(t, sb, stubborn).Running()
	p.Line("up\n")
	begin := time.Now()
	require.NoError(t, sb.Drain(-1))
	require.NoError(t, sb.Drain(200*time.Millisecond), "a deadline may come later")
	harness.Wait(t, sb.Done(), "the deadline")
	assert.GreaterOrEqual(t, time.Since(begin), 500*time.Millisecond, "deadline and grace")
	assert.Less(t, time.Since(begin), 5*time.Second)
	assert.Equal(t, handle.CauseDrained, sb.Outcome().Cause)
}

func TestSignalsToTheSupervisor(t *testing.T) {
	for sig, cause := range map[unix.Signal]uint32{unix.SIGTERM: handle.CauseStopped, unix.SIGUSR1: handle.CauseDrained} {
		sb := harness.New(t)
		require.NoError(t, unix.Kill(int(sb.Pid()), sig))
		harness.Wait(t, sb.Done(), "the supervisor to obey")
		assert.Equal(t, cause, sb.Outcome().Cause, sig)
	}
	sb := harness.New(t)
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGPIPE} {
		require.NoError(t, unix.Kill(int(sb.Pid()), sig))
	}
	assert.Equal(t, "in", harness.Output(t, sb, "printf in"), "what a terminal sends does nothing")
}

func TestCloseTwiceAndVerbsDuringTheEnd(t *testing.T) {
	harness.NoLeaks(t)
	sb := harness.New(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(sb.Close)
		wg.Go(func() { sb.Stop(0) })
		wg.Go(func() { sb.Drain(0) })
		wg.Go(func() { sb.Info(context10(t)) })
		wg.Go(func() { sb.Start(core.ProcessOptions{Argv: []string{"true"}}) })
	}
	wg.Wait()
	harness.Wait(t, sb.Done(), "the end")
	sb.Close()
}

func TestTheOwnerOfADeadSupervisorLearnsIt(t *testing.T) {
	for sig, cause := range map[unix.Signal]uint32{unix.SIGKILL: handle.CauseKilled, unix.SIGABRT: handle.CauseCrashed} {
		o := harness.Options(t)
		sb := harness.Create(t, o)
		p := harness.Shell(t, sb, "echo up; cat").Running()
		p.Line("up\n")
		tree := harness.Tree(t, int(sb.Pid()))
		require.NoError(t, unix.Kill(int(sb.Pid()), sig))
		harness.Wait(t, sb.Done(), "the owner to see it")
		assert.Equal(t, cause, sb.Outcome().Cause, sig)
		harness.Wait(t, p.Done(), "the program to end")
		assert.Equal(t, handle.CauseSandboxEnded, p.Outcome().Cause)
		assert.Empty(t, harness.Alive(tree))
		assert.Empty(t, harness.Entries(t, o.State.Dir))
	}
}

func TestTheEngineDies(t *testing.T) {
	o := harness.Options(t)
	sb := harness.Create(t, o)
	p := harness.Shell(t, sb, "echo up; cat").Running()
	p.Line("up\n")
	tree := harness.Tree(t, int(sb.Pid()))
	for _, process := range tree[1:] { // the sentry is among the supervisor's children
		unix.Kill(process.Pid, unix.SIGKILL)
	}
	harness.Wait(t, sb.Done(), "the sandbox to end")
	assert.Equal(t, handle.CauseCrashed, sb.Outcome().Cause)
	assert.Equal(t, handle.CauseSandboxEnded, p.End().Cause)
	assert.Empty(t, harness.Alive(tree))
	assert.Empty(t, harness.Entries(t, o.State.Dir))
}
