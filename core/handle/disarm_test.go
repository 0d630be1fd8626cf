//go:build linux

package handle_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestDisarmedSandboxSurvivesClose(t *testing.T) {
	harness.NoLeaks(t)
	o := harness.Options(t)
	o.Name = "free"
	sb := harness.Create(t, o)
	var wg sync.WaitGroup
	wg.Go(func() { <-sb.Done() }) // works while others wait
	for range 4 {
		wg.Go(func() { assert.NoError(t, sb.Disarm(context10(t)), "idempotent") })
	}
	require.NoError(t, sb.Disarm(context10(t)))
	info, err := sb.Info(context10(t))
	require.NoError(t, err)
	assert.Equal(t, core.FlagOwner, info.Flags, "the owner's handle, and not attached")
	entries, err := core.List(o.State, core.ListOptions{})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Zero(t, entries[0].Flags)

	sb.Close()
	harness.Wait(t, sb.Done(), "the release")
	wg.Wait()
	assert.Equal(t, handle.CauseUnknown, sb.Outcome().Cause)
	assert.ErrorIs(t, sb.Kill(), code(fault.Done), "the handle has been given up")

	other := open(t, "free", o.State)
	assert.Equal(t, "in", harness.Output(t, other, "printf in"))
	require.NoError(t, other.Kill())
	harness.Wait(t, other.Done(), "the kill")
	harness.Swept(t, o.State.Dir)
}

func TestDisarmBeforeReadyIsRefused(t *testing.T) {
	sb, err := core.Create(harness.Options(t))
	require.NoError(t, err)
	defer harness.End(t, sb)
	assert.ErrorIs(t, sb.Disarm(context10(t)), code(fault.State))
}

// A disarm that comes while the sandbox ends must not claim that it lives on.
func TestDisarmDuringTheEndTellsTheTruth(t *testing.T) {
	o := harness.Options(t)
	o.Name = "late"
	for range harness.Repeat(10, 200) {
		sb := harness.Create(t, o)
		errs := make(chan error, 1)
		go func() { errs <- sb.Disarm(context10(t)) }()
		sb.Stop(0)
		if err := <-errs; err != nil {
			assert.True(t, isCode(err, fault.Done) || isCode(err, fault.Gone), "%v", err)
		}
		harness.Wait(t, sb.Done(), "the stop")
		assert.Equal(t, handle.CauseStopped, sb.Outcome().Cause)
	}
}

func isCode(err error, c fault.Code) bool { return fault.From(err).Code == c }

func TestDisarmOfASandboxThatEndsIsRefused(t *testing.T) {
	o := harness.Options(t)
	sb := harness.Create(t, o)
	p := harness.Shell(t, sb, stubborn).Running()
	p.Line("up\n")
	require.NoError(t, sb.Stop(2e9))
	refusal(t, sb) // the stop has arrived
	assert.Error(t, sb.Disarm(context10(t)))
	require.NoError(t, sb.Kill())
	harness.Wait(t, sb.Done(), "the kill")
}

// The owner is a process of its own that disarms and dies.
func TestDisarmedSandboxSurvivesItsOwner(t *testing.T) {
	if dir := os.Getenv("MSB_TEST_DISARM"); dir != "" {
		o := harness.Options(t)
		o.Name, o.State.Dir, o.Root.Kind, o.Root.Path = "orphan", dir, 1, os.Getenv("MSB_TEST_ROOT")
		sb, err := core.Create(o)
		require.NoError(t, err)
		harness.Wait(t, sb.Ready(), "the sandbox")
		require.NoError(t, sb.StartErr())
		require.NoError(t, sb.Disarm(context10(t)))
		fmt.Println("pid", sb.Pid())
		os.Stdout.Sync()
		proc, _ := os.FindProcess(os.Getpid())
		proc.Kill()
		select {}
	}
	state := core.State{Dir: filepath.Join(t.TempDir(), "state")}
	cmd := self(t, "TestDisarmedSandboxSurvivesItsOwner", "MSB_TEST_DISARM="+state.Dir, "MSB_TEST_ROOT="+harness.DirRoot(t).Path)
	var out strings.Builder
	cmd.Stdout = &out
	assert.ErrorContains(t, cmd.Run(), "killed")
	sb := open(t, "orphan", state)
	assert.Equal(t, fmt.Sprintf("pid %d\n", sb.Pid()), out.String())
	assert.Equal(t, "in", harness.Output(t, sb, "printf in"))
	tree := harness.Tree(t, int(sb.Pid()))
	require.NoError(t, sb.Kill())
	harness.Wait(t, sb.Done(), "the kill")
	harness.Gone(t, tree, harness.Limit)
	assert.Empty(t, harness.Entries(t, state.Dir))
}
