// Package metrics tests the metrics of whole sandboxes: the command line, what is
// left of a slot, and registries that cannot be used.
package metrics

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// sampled are the options of a sandbox that is sampled often.
func sampled(t testing.TB, name string) core.Options {
	t.Helper()
	o := harness.Options(t)
	o.Name, o.SampleEvery = name, core.MinSample
	return o
}

// stateDir makes the state directory of the options.
func stateDir(t testing.TB, o core.Options) string {
	t.Helper()
	require.NoError(t, os.MkdirAll(o.State.Dir, 0o700))
	return o.State.Dir
}

// awaitSample waits for the first sample of a sandbox.
func awaitSample(t testing.TB, o core.Options) core.Metrics {
	t.Helper()
	var m core.Metrics
	require.Eventually(t, func() (found bool) {
		var err error
		m, err = core.ReadMetricsOf(o.Name, o.State)
		return err == nil
	}, harness.Limit, time.Millisecond, "a sample of %s", o.Name)
	return m
}

// slots are those of a state directory that are in use, as the audit lists them.
func slots(t testing.TB, o core.Options) []core.Finding {
	t.Helper()
	findings, err := core.Audit(o.State)
	require.NoError(t, err)
	var found []core.Finding
	for _, f := range findings {
		if f.Kind == "metrics slot" {
			found = append(found, f)
		}
	}
	return found
}

// msb is a command of the built msb.
func msb(t testing.TB, o core.Options, command string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(harness.Binary(t), append([]string{command, "--state", o.State.Dir}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

// libraryLog is a file that gets the log of the library until the test ends.
func libraryLog(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, core.SetLog(int(f.Fd())))
	t.Cleanup(func() { core.SetLog(-1) })
	return path
}
