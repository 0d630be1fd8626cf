package agent

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

var defaultEnv = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root", "LANG=C.UTF-8"}

func busyboxRoot(t testing.TB) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox-static")
	}
	dir, err := os.MkdirTemp("", "msb-root-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{"bin", "tmp", "root", "etc"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	data, err := os.ReadFile(busybox)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755))
	for _, a := range strings.Fields("sh echo cat true false sleep ls id env pwd kill touch dd head seq wc stat mkdir rm ps grep printf test cp chown chmod hostname ln setsid unshare cut stty tty md5sum") {
		require.NoError(t, os.Symlink("busybox", filepath.Join(dir, "bin", a)))
	}
	return dir
}

func run(t testing.TB, m *machine, argv ...string) string {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	w2, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	require.NoError(t, err)
	p, err := m.Start(t.Context(), engine.Program{Argv: argv, Env: defaultEnv, Stdio: [3]*os.File{nil, w, w2}})
	require.NoError(t, err)
	all, err := io.ReadAll(r)
	require.NoError(t, err)
	_, err = p.Wait()
	require.NoError(t, err)
	return string(all)
}
