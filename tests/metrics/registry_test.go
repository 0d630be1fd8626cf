package metrics

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/metrics"
	"github.com/libmicrosandbox/microsandbox/core/process"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// TestUnusableRegistry: it costs the metrics and a line in the library's log, never
// the sandbox; who asks for metrics gets the reason.
func TestUnusableRegistry(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, path string)
		code  fault.Code
		says  string
	}{
		"truncated": {func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 300)) },
			fault.IO, "has 300 bytes instead of"},
		"of another version": {func(t *testing.T, path string) { overwrite(t, path, 8, 2) },
			fault.TooNew, "version 2, this library knows 1"},
		"of another user": {func(t *testing.T, path string) {
			if os.Geteuid() != 0 {
				t.Skip("needs root: to give a file to another user")
			}
			require.NoError(t, os.Chown(path, 65534, 65534))
		}, fault.Permission, "belongs to uid 65534"},
		"no registry at all": {func(t *testing.T, path string) { require.NoError(t, os.WriteFile(path, []byte("notes"), 0o600)) },
			fault.IO, "metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			o := sampled(t, "web")
			registry, err := metrics.Open(stateDir(t, o), 4)
			require.NoError(t, err)
			require.NoError(t, registry.Close())
			path := filepath.Join(o.State.Dir, "metrics")
			c.spoil(t, path)
			before, err := os.ReadFile(path)
			require.NoError(t, err)

			worksWithoutMetrics(t, o, c.says)
			_, err = core.ReadMetrics(o.State)
			e := fault.From(err)
			require.NotNil(t, e)
			assert.Equal(t, c.code, e.Code, e.Message)
			assert.Contains(t, e.Message, c.says)
			out, err := msb(t, o, "metrics").CombinedOutput()
			assert.Error(t, err)
			assert.Contains(t, string(out), c.says)
			assert.Equal(t, 1, strings.Count(string(out), "\n"), "%s", out)
			after, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.Equal(t, before, after, "what is not understood is not written to")
		})
	}
}

func overwrite(t *testing.T, path string, at int64, b ...byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt(b, at)
	require.NoError(t, err)
}

// TestFullRegistry: the sandbox that finds no slot runs without; the next one has one.
func TestFullRegistry(t *testing.T) {
	o := sampled(t, "web")
	registry, err := metrics.Open(stateDir(t, o), 1)
	require.NoError(t, err)
	defer registry.Close()
	me, err := process.Self()
	require.NoError(t, err)
	token, err := registry.Reserve("somebody", "id", metrics.Limits{}, me)
	require.NoError(t, err)
	worksWithoutMetrics(t, o, "all 1 slots belong to running sandboxes")
	_, err = registry.ReleaseReserved(token)
	require.NoError(t, err)
	harness.Create(t, o)
	awaitSample(t, o)
}

// worksWithoutMetrics runs a program in a sandbox that gets no slot, and looks for
// the line that says why.
func worksWithoutMetrics(t *testing.T, o core.Options, why string) {
	t.Helper()
	log := libraryLog(t)
	sb := harness.Create(t, o)
	assert.Equal(t, "fine\n", harness.Output(t, sb, "echo fine"))
	_, err := sb.Metrics()
	assert.Error(t, err)
	harness.End(t, sb)
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(log)
		require.NoError(t, err)
		return strings.Contains(string(text), "no metrics: ") && strings.Contains(string(text), why)
	}, harness.Limit, core.MinSample, "a line of why: %q", why)
	harness.Swept(t, o.State.Dir)
}
