package gvisor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/runsc/config"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

const testTimeout = 60 * time.Second

// defaultEnv is the environment of programs in tests.
var defaultEnv = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/root", "LANG=C.UTF-8"}

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
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox-static")
	}
	dir, err := os.MkdirTemp("", "msb-root-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	for _, d := range []string{"bin", "tmp", "root", "etc"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	data, err := os.ReadFile(busybox)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755))
	for _, a := range strings.Fields("sh echo cat true false sleep ls id env pwd kill touch dd mv head seq wc stat mkdir rm ps grep printf test cp chown chmod hostname ifconfig ln") {
		require.NoError(t, os.Symlink("busybox", filepath.Join(dir, "bin", a)))
	}
	return image.Root{Kind: image.Dir, Path: dir}
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

// result is how a program ended.
type result struct {
	out, err string
	status   syscall.WaitStatus
}

// running is a program whose output is being collected.
type running struct {
	engine.Process
	t        testing.TB
	out, err chan string
}

// spawn starts a program with pipes for its output.
func spawn(t testing.TB, m engine.Machine, p engine.Program) (*running, error) {
	t.Helper()
	r := &running{t: t}
	p.Stdio[1], r.out = collect(t)
	p.Stdio[2], r.err = collect(t)
	if p.Env == nil {
		p.Env = defaultEnv
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	var err error
	r.Process, err = m.Start(ctx, p)
	return r, err
}

// collect returns the write end of a pipe and a channel for all that is
// written to it.
func collect(t testing.TB) (*os.File, chan string) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	all := make(chan string, 1)
	go func() {
		data, _ := io.ReadAll(r)
		r.Close()
		all <- string(data)
	}()
	return w, all
}

func (r *running) result() result {
	r.t.Helper()
	status, err := r.Wait()
	require.NoError(r.t, err)
	return result{<-r.out, <-r.err, status}
}

// run runs a program to its end.
func run(t testing.TB, m engine.Machine, argv ...string) result {
	t.Helper()
	r, err := spawn(t, m, engine.Program{Argv: argv})
	require.NoError(t, err)
	return r.result()
}

// output runs a program that must succeed and returns what it prints.
func output(t testing.TB, m engine.Machine, argv ...string) string {
	t.Helper()
	r := run(t, m, argv...)
	require.Equal(t, syscall.WaitStatus(0), r.status, "%v: %s%s", argv, r.out, r.err)
	return strings.TrimSpace(r.out)
}
