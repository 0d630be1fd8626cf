package qemu

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/qemu/jail"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

func TestMain(m *testing.M) {
	jail.Main()
	status := m.Run()
	os.RemoveAll(shared.dir)
	os.Exit(status)
}

// limit bounds a boot under software emulation on a busy machine.
const limit = 90 * time.Second

// testKernel is the directory of the kernel that `make test-kernel` prepares.
func testKernel(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("MSB_TEST_KERNEL"); path != "" {
		return path
	}
	path, err := filepath.Abs("../../../build/kernels/default")
	require.NoError(t, err)
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs a guest kernel: run make test-kernel")
	}
	return path
}

func needQEMU(t *testing.T) {
	t.Helper()
	if _, err := findBinary(); err != nil {
		t.Skip("needs qemu-system-x86")
	}
}

// shared is made once for all tests.
var shared struct {
	sync.Mutex
	dir, root string
}

// testRoot is an EROFS image with busybox.
func testRoot(t *testing.T) image.Root {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.root == "" {
		dir, err := os.MkdirTemp("", "msb-qemu-")
		require.NoError(t, err)
		require.NoError(t, os.Chmod(dir, 0o755))
		shared.dir = dir
		busybox, err := exec.LookPath("busybox")
		if err != nil {
			t.Skip("needs busybox-static")
		}
		tree := filepath.Join(dir, "tree")
		for _, d := range []string{"bin", "tmp", "etc"} {
			require.NoError(t, os.MkdirAll(filepath.Join(tree, d), 0o755))
		}
		data, err := os.ReadFile(busybox)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(tree, "bin/busybox"), data, 0o755))
		for _, a := range []string{"sh", "echo", "cat", "sleep", "dd", "true", "sync", "id", "uname", "head", "tail", "mount"} {
			require.NoError(t, os.Symlink("busybox", filepath.Join(tree, "bin", a)))
		}
		shared.root = makeImage(t, tree, filepath.Join(dir, "root.img"))
	}
	return image.Root{Kind: image.EROFS, Path: shared.root}
}

func makeImage(t *testing.T, tree, img string) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		t.Skip("needs erofs-utils")
	}
	out, err := exec.Command(mkfs, "-T0", "--all-root", "-E", "noinline_data", img, tree).CombinedOutput()
	require.NoError(t, err, string(out))
	return img
}

func testConfig(t *testing.T) engine.Config {
	t.Helper()
	needQEMU(t)
	return engine.Config{
		ID: testID(), Name: t.Name(), Dir: t.TempDir(), Root: testRoot(t), MemoryBytes: 256 << 20, OverlayBytes: 64 << 20,
		KernelPath: testKernel(t), Kernels: []string{filepath.Join(t.TempDir(), "kernels")},
		Log: func(format string, args ...any) { t.Logf(format, args...) },
	}
}

// testID is an id as the library makes them.
func testID() string { return fmt.Sprintf("%024x", time.Now().UnixNano()) }

// boot boots a machine without KVM; it is gone at the end of the test.
func boot(t *testing.T, cfg engine.Config) engine.Machine {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	m, err := NewTCG().Boot(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

// run runs a shell script and returns what it wrote, and how it ended.
func run(t *testing.T, m engine.Machine, script string) (string, syscall.WaitStatus) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	p, err := m.Start(ctx, engine.Program{
		Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/bin"}, Stdio: [3]*os.File{nil, w, nil},
	})
	require.NoError(t, err)
	var out bytes.Buffer
	_, err = io.Copy(&out, r)
	require.NoError(t, err)
	status, err := p.Wait()
	require.NoError(t, err)
	return out.String(), status
}

func output(t *testing.T, m engine.Machine, script string) string {
	t.Helper()
	out, status := run(t, m, script)
	require.Equal(t, 0, status.ExitStatus(), "%s: %v", script, status)
	return strings.TrimSpace(out)
}

// children are the processes that this one has started.
func children(t *testing.T) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	require.NoError(t, err)
	var all []string
	for _, list := range lists {
		data, err := os.ReadFile(list)
		if err == nil {
			all = append(all, strings.Fields(string(data))...)
		}
	}
	return all
}

// with opens a mount as the library does.
func with(t *testing.T, cfg *engine.Config, spec mounts.Spec) {
	t.Helper()
	specs, err := mounts.Validate([]mounts.Spec{spec})
	require.NoError(t, err)
	s, err := mounts.Open(specs[0])
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	cfg.Mounts = append(cfg.Mounts, s)
}
