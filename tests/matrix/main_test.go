// Package matrix kills and stops owners, supervisors and engines at each step of
// a sandbox's life, and looks for what is left with eyes of its own: core.Audit
// is one of the things under test.
package matrix

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// The times of the sandboxes here, and what a busy machine may add to a promise.
const (
	grace        = 200 * time.Millisecond
	startTimeout = 3 * time.Second
	stopMargin   = 3 * time.Second // handle.stopMargin
	bootMargin   = 5 * time.Second // handle.terminateGrace
	pingLimit    = 2 * time.Second // store.pingLimit
	busy         = 8 * time.Second
)

func TestMain(m *testing.M) {
	flag.Parse()
	// Most rows wait for a time limit to pass: ten at once keep two cores busy.
	flag.Set("test.parallel", "10")
	harness.Main(m)
}

// built is a product of `make matrix`.
func built(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../build/test", name))
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs %s: run make matrix", name)
	}
	return path
}

// options are those of every sandbox here.
func options(t testing.TB, name string) core.Options {
	t.Helper()
	return core.Options{
		Name: name, MsbPath: built(t, "msb-failpoint"), State: harness.State(t), Root: harness.DirRoot(t),
		StopGrace: grace, StartTimeout: startTimeout,
	}
}
