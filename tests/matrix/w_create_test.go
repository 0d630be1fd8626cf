package matrix

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// failure creates a sandbox that must not start and returns why it did not.
func failure(t *testing.T, o core.Options) error {
	t.Helper()
	sb, err := core.Create(o)
	require.NoError(t, err)
	harness.Wait(t, sb.Done(), "the failure")
	require.Error(t, sb.StartErr())
	assert.Equal(t, handle.CauseStartFailed, sb.Outcome().Cause)
	return sb.StartErr()
}

func TestW17WhatASupervisorSaysEarlyIsQuoted(t *testing.T) {
	t.Parallel()
	for _, detached := range []bool{false, true} {
		o := options(t, uniqueName())
		o.Detached = detached
		o.MsbPath = filepath.Join(t.TempDir(), "msb")
		require.NoError(t, os.WriteFile(o.MsbPath, []byte("#!/bin/sh\necho 'the dog ate it' >&2\nexit 2\n"), 0o755))
		err := failure(t, o)
		assert.ErrorIs(t, err, &fault.Error{Code: fault.Launch})
		assert.ErrorContains(t, err, "the dog ate it")
		assert.ErrorContains(t, err, "exited with code 2")
	}
}

// The error of a start is that start's own, and not what the one before it left.
func TestW18ABootErrorIsThatOfThisStart(t *testing.T) {
	t.Parallel()
	o := options(t, uniqueName())
	bad := o
	bad.Root = image.Root{Kind: image.Dir, Path: "/nonexistent-root"}
	first := failure(t, bad)
	assert.ErrorContains(t, first, "nonexistent-root")

	arm(t, o, "boot.engine", "kill")
	own := newOwner(t, o)
	creates(own)
	assert.Equal(t, int(fault.Boot), own.expect("ready", busy))
	own.expect("done", busy)
	said, err := os.ReadFile(own.log.Name())
	require.NoError(t, err)
	assert.Contains(t, string(said), "killed by signal 9")
	assert.NotContains(t, string(said), "nonexistent-root")

	sb := harness.Create(t, o)
	harness.End(t, sb)
	nothing(t, o, nil, time.Second)
}

// A create that is given up leaves nothing, at whatever step its supervisor is
// and even if that does not move any more.
func TestW19ACreateGivenUpAtEachStepLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, s := range supervisorSteps {
		if !s.boots {
			continue
		}
		for _, verb := range []string{"close", "kill"} {
			t.Run(s.title()+", "+verb, func(t *testing.T) {
				t.Parallel()
				o := s.to(t, "stop")
				tree := o.tree()
				require.NotEmpty(t, tree)
				stopped(t, tree[0].Pid)
				o.send(verb)
				want := map[string]uint32{"close": handle.CauseStartFailed, "kill": handle.CauseKilled}[verb]
				assert.Equal(t, int(want), o.expect("done", bootMargin+busy))
				nothing(t, o.o, tree, time.Second)
				swept(t, o.o, tree)
			})
		}
	}
}
