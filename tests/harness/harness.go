// Package harness is what the end-to-end tests share: it finds the built msb,
// makes a root file system, starts sandboxes that are gone when the test ends,
// and looks for what a sandbox may have left.
package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// Limit bounds each wait for something that takes milliseconds.
const Limit = 30 * time.Second

// Long reports whether the tests that take minutes are wanted.
func Long() bool { return os.Getenv("MSB_TEST_LONG") == "1" }

// Repeat is n, or many times as much in a long run.
func Repeat(n, long int) int {
	if Long() {
		return long
	}
	return n
}

// Binary is the msb to test: $MSB_TEST_BINARY, else build/bin/msb of this tree.
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("MSB_TEST_BINARY")
	if path == "" {
		path = filepath.Join(tree(t), "build/bin/msb")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("needs msb: run make msb (%v)", err)
	}
	return path
}

// tree is the directory of go.mod.
func tree(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for dir != "/" {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above the working directory")
	return ""
}

// shared is a directory for the whole test binary; Main removes it.
var shared struct {
	sync.Mutex
	dir  string
	root string
	img  string
}

// Clean removes it, in test binaries that do not use Main.
func Clean() {
	if shared.dir != "" {
		os.RemoveAll(shared.dir)
	}
}

func sharedDir(t testing.TB) string {
	if shared.dir == "" {
		dir, err := os.MkdirTemp("", "msb-harness-")
		require.NoError(t, err)
		require.NoError(t, os.Chmod(dir, 0o755))
		shared.dir = dir
	}
	return shared.dir
}

// DirRoot is a directory with busybox and all its applets.
func DirRoot(t testing.TB) image.Root {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.root == "" {
		shared.root = busyboxTree(t, filepath.Join(sharedDir(t), "root"))
	}
	return image.Root{Kind: image.Dir, Path: shared.root}
}

func busyboxTree(t testing.TB, dir string) string {
	t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox-static")
	}
	for _, d := range []string{"bin", "tmp", "root", "etc"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	data, err := os.ReadFile(busybox)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "bin/busybox"), data, 0o755))
	list, err := exec.Command(busybox, "--list").Output()
	require.NoError(t, err)
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" {
			require.NoError(t, os.Symlink("busybox", filepath.Join(dir, "bin", applet)))
		}
	}
	for name, mode := range map[string]os.FileMode{"etc/data": 0o644, "etc/noexec": 0o644} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("data\n"), mode))
	}
	return dir
}

// Root is an EROFS image with busybox; a directory where mkfs.erofs is missing.
func Root(t testing.TB) image.Root {
	t.Helper()
	dir := DirRoot(t)
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		return dir
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.img == "" {
		img := filepath.Join(shared.dir, "root.img")
		out, err := exec.Command(mkfs, "-T0", "--all-root", "-E", "noinline_data", img, dir.Path).CombinedOutput()
		require.NoError(t, err, string(out))
		shared.img = img
	}
	return image.Root{Kind: image.EROFS, Path: shared.img}
}

// Kernel is the guest kernel that microVMs boot: $MSB_TEST_KERNEL, else what
// `make test-kernel` prepares.
func Kernel(t testing.TB) string {
	t.Helper()
	path := os.Getenv("MSB_TEST_KERNEL")
	if path == "" {
		path = filepath.Join(tree(t), "build/kernels/default")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("needs a guest kernel: run make test-kernel")
	}
	if _, err := os.Stat("/usr/bin/qemu-system-x86_64"); err != nil {
		t.Skip("needs qemu-system-x86")
	}
	return path
}

// Engine is what the suites run on: $MSB_TEST_ENGINE, "qemu-tcg" or "qemu"; else the
// default. Tests of what only one engine has skip with NeedGvisor.
func Engine(t testing.TB) core.Engine {
	t.Helper()
	switch name := os.Getenv("MSB_TEST_ENGINE"); name {
	case "":
		return core.EngineAuto
	case core.EngineQEMU.String():
		return core.EngineQEMU
	case core.EngineTCG.String():
		return core.EngineTCG
	default:
		t.Fatalf("MSB_TEST_ENGINE=%s: qemu or qemu-tcg", name)
		return core.EngineAuto
	}
}

// Virtual tells whether the suites run on an engine with a kernel of its own.
func Virtual(t testing.TB) bool { return Engine(t) != core.EngineAuto }

// NeedGvisor skips a test of what only that engine has.
func NeedGvisor(t testing.TB, what string) {
	t.Helper()
	if Virtual(t) {
		t.Skipf("engine %s has no %s", Engine(t), what)
	}
}

// State is a new state directory for one test.
func State(t testing.TB) core.State {
	t.Helper()
	return core.State{Dir: filepath.Join(t.TempDir(), "state")}
}

// Options are those of a plain sandbox in a new state directory.
func Options(t testing.TB) core.Options {
	t.Helper()
	o := core.Options{MsbPath: Binary(t), State: State(t), Root: Root(t), StopGrace: -1, Engine: Engine(t)}
	if Virtual(t) {
		o.KernelPath = Kernel(t)
		o.StartTimeout = 2 * time.Minute // software emulation on a busy machine
	}
	return o
}

// Create creates a sandbox, waits until it is ready, and takes it away at the
// end of the test.
func Create(t testing.TB, o core.Options) *core.Sandbox {
	t.Helper()
	sb, err := Begin(o)
	require.NoError(t, err)
	t.Cleanup(func() { End(t, sb) })
	Wait(t, sb.Ready(), "the sandbox to be ready")
	require.NoError(t, sb.StartErr())
	return sb
}

// New is Create with plain options.
func New(t testing.TB) *core.Sandbox {
	t.Helper()
	return Create(t, Options(t))
}

// End closes a sandbox and waits until it is gone.
func End(t testing.TB, sb *core.Sandbox) {
	t.Helper()
	sb.Close()
	Wait(t, sb.Done(), "the sandbox to be gone")
}

// Wait waits for a channel to be closed.
func Wait(t testing.TB, ch <-chan struct{}, what string) {
	t.Helper()
	timer := time.NewTimer(Limit)
	defer timer.Stop()
	select {
	case <-ch:
	case <-timer.C:
		t.Fatalf("waited %v in vain for %s", Limit, what)
	}
}
