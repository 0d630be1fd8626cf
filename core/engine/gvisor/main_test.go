package gvisor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/runsc/config"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/sentry"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

func TestMain(m *testing.M) {
	sentry.Main()
	os.Exit(m.Run())
}

// What all engines' tests are written with.
const testTimeout = enginetest.Timeout

var (
	defaultEnv = enginetest.DefaultEnv
	spawn      = enginetest.Spawn
	run        = enginetest.Run
	output     = enginetest.Output
)

// needStatic skips a test whose machines cannot boot.
func needStatic(t testing.TB) {
	t.Helper()
	if config.CgoEnabled {
		t.Skip("needs CGO_ENABLED=0: the sentry re-executes itself where no dynamic loader is")
	}
}

// newConfig returns a configuration with a private directory below a short path.
func newConfig(t testing.TB, root image.Root) engine.Config {
	t.Helper()
	needStatic(t)
	dir, err := os.MkdirTemp("", "msb-test-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	var id [6]byte
	rand.Read(id[:])
	return engine.Config{
		ID: hex.EncodeToString(id[:]), Name: "test", Dir: dir, Root: root,
		MemoryBytes: 256 << 20, OverlayBytes: 64 << 20, Log: t.Logf,
	}
}

// boot boots a machine that is closed when the test ends.
func bootMachine(t testing.TB, cfg engine.Config) engine.Machine {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	m, err := New().Boot(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

// busyboxRoot makes a directory root with busybox and its applets.
func busyboxRoot(t testing.TB) image.Root {
	t.Helper()
	return image.Root{Kind: image.Dir, Path: enginetest.Root(t)}
}

// erofsRoot makes an EROFS image of a directory root.
func erofsRoot(t testing.TB, dir string, options ...string) image.Root {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		t.Skip("needs erofs-utils")
	}
	if len(options) == 0 {
		options = []string{"-E", "noinline_data"}
	}
	img := dir + ".img"
	t.Cleanup(func() { os.Remove(img) })
	out, err := exec.Command(mkfs, append(append([]string{"-T0"}, options...), img, dir)...).CombinedOutput()
	require.NoError(t, err, string(out))
	return image.Root{Kind: image.EROFS, Path: img}
}
