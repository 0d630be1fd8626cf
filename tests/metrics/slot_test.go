package metrics

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/metrics"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// TestSlotGoesWithTheSandbox: however it ends, its slot is free afterwards.
func TestSlotGoesWithTheSandbox(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *core.Sandbox){
		"close": func(t *testing.T, sb *core.Sandbox) { harness.End(t, sb) },
		"kill": func(t *testing.T, sb *core.Sandbox) {
			require.NoError(t, sb.Kill())
			harness.Wait(t, sb.Done(), "the sandbox to be gone")
		},
		"supervisor killed": func(t *testing.T, sb *core.Sandbox) {
			require.NoError(t, syscall.Kill(int(sb.Pid()), syscall.SIGKILL))
			harness.Wait(t, sb.Done(), "the sandbox to be gone")
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := sampled(t, "web")
			sb := harness.Create(t, o)
			awaitSample(t, o)
			require.Len(t, slots(t, o), 1)
			end(t, sb)
			require.Empty(t, slots(t, o))
			_, err := core.ReadMetricsOf("web", o.State)
			require.ErrorIs(t, err, &fault.Error{Code: fault.NotFound})
		})
	}
}

// TestReservationOfAFailedStart: nobody activated it; the handle gives it back.
func TestReservationOfAFailedStart(t *testing.T) {
	for name, spoil := range map[string]func(*core.Options){
		"msb is not msb": func(o *core.Options) { o.MsbPath = "/bin/false" },
		"msb is missing": func(o *core.Options) { o.MsbPath = "/nonexistent/msb" },
		"no root":        func(o *core.Options) { o.Root = image.Root{Kind: image.Dir, Path: "/nonexistent"} },
	} {
		t.Run(name, func(t *testing.T) {
			o := sampled(t, "web")
			spoil(&o)
			failedStart(t, o)
			require.Empty(t, slots(t, o))
		})
	}
}

func failedStart(t *testing.T, o core.Options) {
	t.Helper()
	sb, err := core.Create(o)
	if err == nil {
		harness.Wait(t, sb.Ready(), "the start to fail")
		err = sb.StartErr()
		harness.End(t, sb)
	}
	require.Error(t, err)
}

// TestReservationIsFreedByName: the registry was put back in place of another file
// meanwhile, so what the handle had open would be the wrong one.
func TestReservationIsFreedByName(t *testing.T) {
	o := sampled(t, "web")
	path := filepath.Join(stateDir(t, o), "metrics")
	registry, err := metrics.Open(o.State.Dir, 4)
	require.NoError(t, err)
	require.NoError(t, registry.Close())
	o.MsbPath = filepath.Join(t.TempDir(), "msb")
	started := filepath.Join(t.TempDir(), "started")
	require.NoError(t, syscall.Mkfifo(started, 0o600))
	require.NoError(t, os.WriteFile(o.MsbPath, []byte("#!/bin/sh\necho up >"+started+"\ncat "+started+" >/dev/null\nexit 1\n"), 0o755))
	sb, err := core.Create(o)
	require.NoError(t, err)
	t.Cleanup(func() { harness.End(t, sb) })
	_, err = os.ReadFile(started) // it runs
	require.NoError(t, err)
	require.Len(t, slots(t, o), 1)

	// The same content in another file.
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path+".copy", data, 0o600))
	require.NoError(t, os.Rename(path+".copy", path))
	require.NoError(t, os.WriteFile(started, nil, 0)) // let it end
	harness.Wait(t, sb.Ready(), "the start to fail")
	require.Error(t, sb.StartErr())
	harness.End(t, sb)
	require.Empty(t, slots(t, o))
}

// TestSlotOfADetachedSandbox: it lives on without the handle that reserved it.
func TestSlotOfADetachedSandbox(t *testing.T) {
	o := sampled(t, "web")
	o.Detached = true
	sb, err := core.Create(o)
	require.NoError(t, err)
	harness.Wait(t, sb.Ready(), "the sandbox to be ready")
	require.NoError(t, sb.StartErr())
	sb.Close()
	first := awaitSample(t, o)
	other, err := core.Open(t.Context(), "web", o.State)
	require.NoError(t, err)
	defer other.Close()
	require.Eventually(t, func() bool {
		now, err := other.Metrics()
		return err == nil && now.Sample.Number > first.Sample.Number
	}, harness.Limit, core.MinSample, "samples go on")
	found := slots(t, o)
	require.Len(t, found, 1)
	assert.False(t, found[0].Orphan)
	require.NoError(t, other.Kill())
	harness.Wait(t, other.Done(), "the sandbox to be gone")
	require.Empty(t, slots(t, o))
}
