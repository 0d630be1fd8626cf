// Package mounts tests the mounts and disk locks of whole sandboxes, from the
// options to the guest.
package mounts

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// source is a new directory with a file.
func source(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("given\n"), 0o644))
	return dir
}

// image is a new EROFS image of such a directory.
func image(t testing.TB) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		t.Skip("needs erofs-utils")
	}
	path := filepath.Join(t.TempDir(), "data.img")
	out, err := exec.Command(mkfs, "-T0", "-E", "noinline_data", path, source(t)).CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

func with(t testing.TB, specs ...mounts.Spec) core.Options {
	t.Helper()
	o := harness.Options(t)
	o.Mounts = specs
	return o
}

// refused creates a sandbox that must fail, at once or while it starts, and
// returns why. Nothing is left of it.
func refused(t testing.TB, o core.Options) *fault.Error {
	t.Helper()
	sb, err := core.Create(o)
	if err == nil {
		harness.Wait(t, sb.Ready(), "the start to fail")
		err = sb.StartErr()
		harness.End(t, sb)
	}
	require.Error(t, err)
	e := fault.From(err)
	require.NotContains(t, e.Message, "\n")
	harness.Swept(t, o.State.Dir)
	return e
}
