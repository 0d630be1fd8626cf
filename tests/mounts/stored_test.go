package mounts

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// TestStoredSandboxOpensItsSourcesAnew: what is kept is the description.
func TestStoredSandboxOpensItsSourcesAnew(t *testing.T) {
	dir := source(t)
	o := with(t, mounts.Spec{Source: dir, Target: "/data", NoExec: true}, mounts.Spec{Kind: mounts.Tmpfs, Target: "/scratch", SizeBytes: 8192})
	o.Name, o.Stored = "kept", true
	sb := harness.Create(t, o)
	harness.Output(t, sb, "echo more >> /data/file && touch /scratch/x")
	harness.End(t, sb)

	require.NoError(t, os.Rename(dir, dir+".away"))
	again := core.Options{Name: "kept", MsbPath: o.MsbPath, State: o.State}
	_, err := core.StartStored(again)
	require.Equal(t, fault.NotFound, fault.From(err).Code, "%v", err)
	require.Contains(t, err.Error(), dir)

	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("another\n"), 0o644))
	started, err := core.StartStored(again)
	require.NoError(t, err)
	t.Cleanup(func() { harness.End(t, started) })
	harness.Wait(t, started.Ready(), "the sandbox to be ready")
	require.NoError(t, started.StartErr())
	require.Equal(t, "another\n", harness.Output(t, started, "cat /data/file; ls /scratch"))
}

// TestDescriptorsOfTheHost: none stays open, whether the start works or fails.
func TestDescriptorsOfTheHost(t *testing.T) {
	harness.NoLeaks(t)
	dir := source(t)
	good := mounts.Spec{Source: dir, Target: "/data"}
	refused(t, with(t, good, mounts.Spec{Source: dir + "/missing", Target: "/other"}))
	bad := with(t, good)
	bad.MsbPath = "/bin/true"
	sb, err := core.Create(bad)
	require.NoError(t, err)
	harness.Wait(t, sb.Ready(), "the start to fail")
	require.Error(t, sb.StartErr())
	harness.End(t, sb)
	sb = harness.Create(t, with(t, good))
	harness.Output(t, sb, "true")
	harness.End(t, sb)
}
