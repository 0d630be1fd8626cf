package mounts

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// start starts a supervisor with these mounts and returns its answer.
func start(t *testing.T, entries []mounts.Entry, files []*os.File) *control.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), harness.Limit)
	defer cancel()
	child, err := launch.Start(ctx, harness.Binary(t), control.Config{
		Protocol: control.Protocol, Name: "s", ID: "abcdef012345", StateDir: t.TempDir(), Root: harness.Root(t),
		MemoryBytes: 256 << 20, OverlayBytes: 64 << 20, BootTimeout: harness.Limit, OwnerPid: os.Getpid(), LogMaxBytes: 1 << 20,
		Mounts: entries, MountFiles: files,
	})
	require.NoError(t, err)
	defer child.Release()
	child.Control.SetDeadline(time.Now().Add(harness.Limit))
	m, fds, err := child.Control.Recv()
	require.NoError(t, err)
	control.CloseAll(fds)
	child.Watchdog.Close()
	harness.Wait(t, child.Process.Done(), "the supervisor to end")
	return m
}

// TestSupervisorChecksTheMounts: it trusts neither the list nor the descriptors.
func TestSupervisorChecksTheMounts(t *testing.T) {
	one, two := source(t), source(t)
	pack := func(specs ...mounts.Spec) ([]mounts.Entry, []*os.File) {
		sources, err := mounts.OpenAll(specs)
		require.NoError(t, err)
		t.Cleanup(func() { mounts.CloseAll(sources) })
		return mounts.Pack(sources)
	}
	entries, files := pack(mounts.Spec{Source: one, Target: "/a"}, mounts.Spec{Source: two, Target: "/b"})
	require.Equal(t, control.Ready, start(t, entries, files).Type)

	inProc := append([]mounts.Entry(nil), entries...)
	inProc[0].Spec.Target = "/proc/a"
	readable, err := os.Open(one)
	require.NoError(t, err)
	defer readable.Close()
	for name, c := range map[string]struct {
		entries []mounts.Entry
		files   []*os.File
		want    string
	}{
		"swapped":         {entries, []*os.File{files[1], files[0]}, "not that of source"},
		"the same twice":  {entries, []*os.File{files[0], files[0]}, "not that of source"},
		"fewer":           {entries, files[:1], `mount "/b"`},
		"open for input":  {entries, []*os.File{readable, files[1]}, "O_PATH"},
		"a bad target":    {inProc, files, "belongs to the sandbox"},
		"twice in a list": {append(entries, entries[0]), files, "two mounts"},
	} {
		t.Run(name, func(t *testing.T) {
			m := start(t, c.entries, c.files)
			require.Equal(t, control.Failed, m.Type)
			require.Contains(t, m.Err.Message, c.want)
		})
	}
}
