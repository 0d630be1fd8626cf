package qemu

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// One boot serves all that need no machine of their own.
func TestMachine(t *testing.T) {
	cfg := testConfig(t)
	with(t, &cfg, mounts.Spec{Kind: mounts.Tmpfs, Target: "/scratch", SizeBytes: 1 << 20})
	tree := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(tree, "file"), []byte("of an image"), 0o644))
	with(t, &cfg, mounts.Spec{Kind: mounts.EROFS, Source: makeImage(t, tree, filepath.Join(t.TempDir(), "i.img")), Target: "/image"})
	before := children(t)
	m := boot(t, cfg)
	qemu := m.(*machine).pid

	t.Run("programs run", func(t *testing.T) {
		require.Equal(t, "hello", output(t, m, "echo hello"))
		_, status := run(t, m, "exit 7")
		assert.Equal(t, 7, status.ExitStatus())
		_, status = run(t, m, "kill -9 $$")
		assert.Equal(t, unix.SIGKILL, status.Signal())
		assert.Equal(t, "uid=0 gid=0", output(t, m, "id"))
		assert.Equal(t, "sandbox", output(t, m, "uname -n"))
	})
	t.Run("the root is writable in memory, up to its limit", func(t *testing.T) {
		require.Equal(t, "x", output(t, m, "echo x > /new && cat /new"))
		_, status := run(t, m, "dd if=/dev/zero of=/full bs=1M count=80 2>/dev/null")
		assert.NotZero(t, status.ExitStatus())
		require.Equal(t, "ok", output(t, m, "cat /dev/null > /full; echo ok"))
	})
	t.Run("mounts", func(t *testing.T) {
		assert.Equal(t, "of an image", output(t, m, "cat /image/file"))
		_, status := run(t, m, "echo x > /image/file")
		assert.NotZero(t, status.ExitStatus(), "an image is read-only")
		assert.Equal(t, "y", output(t, m, "echo y > /scratch/f && cat /scratch/f"))
		_, status = run(t, m, "dd if=/dev/zero of=/scratch/g bs=1M count=2 2>/dev/null")
		assert.NotZero(t, status.ExitStatus(), "a tmpfs has a size")
	})
	t.Run("a program that is not there", func(t *testing.T) {
		_, err := m.Start(t.Context(), engine.Program{Argv: []string{"/no/such"}})
		require.Error(t, err)
		e := fault.From(err)
		assert.Equal(t, fault.Exec, e.Code)
		assert.Equal(t, unix.ENOENT, e.Errno)
	})
	t.Run("usage", func(t *testing.T) {
		u, err := m.Usage(t.Context())
		require.NoError(t, err)
		assert.Positive(t, u.MemoryBytes)
		assert.Less(t, u.MemoryBytes, cfg.MemoryBytes)
		assert.Positive(t, u.CPUTime)
	})
	t.Run("receipt", func(t *testing.T) {
		receipt := strings.Join(m.Receipt(), "\n")
		assert.Contains(t, receipt, "software emulation (TCG)")
		assert.Regexp(t, regexp.MustCompile(`Linux [0-9]+\.[0-9]+\.[0-9]+\S* of its own`), receipt)
		assert.Less(t, len(receipt), 1024, "it fits into msb_sandbox_info")
	})
	t.Run("QEMU is confined", func(t *testing.T) { requireConfined(t, qemu) })

	require.NoError(t, m.Close())
	assert.Equal(t, engine.Closed, m.Cause())
	assert.Equal(t, before, children(t), "no process is left")
	assert.NoDirExists(t, fmt.Sprintf("/proc/%d", qemu))
}

// requireConfined looks at the process from outside.
func requireConfined(t *testing.T, pid int) {
	status := readProc(t, pid, "status")
	for _, want := range []string{"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n",
		"CapBnd:\t0000000000000000\n", "CapAmb:\t0000000000000000\n", "CapInh:\t0000000000000000\n"} {
		assert.Contains(t, status, want)
	}
	if os.Geteuid() == 0 {
		assert.NotContains(t, status, "Uid:\t0\t", "root of the host is not QEMU's")
	}
	for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"} {
		own, err := os.Readlink("/proc/self/ns/" + ns)
		require.NoError(t, err)
		its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
		require.NoError(t, err)
		assert.NotEqual(t, own, its, "namespace %s", ns)
	}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/root", pid))
	require.NoError(t, err)
	for _, e := range entries {
		assert.Contains(t, []string{"usr", "lib", "lib64", "lib32", "libx32", "bin", "sbin", "dev", "proc"}, e.Name())
	}
	dev, err := os.ReadDir(fmt.Sprintf("/proc/%d/root/dev", pid))
	require.NoError(t, err)
	assert.Empty(t, dev)
	assert.Regexp(t, regexp.MustCompile(`Max open files +256 +256 `), readProc(t, pid, "limits"))
	assert.Regexp(t, regexp.MustCompile(`Max file size +0 +0 `), readProc(t, pid, "limits"))
	for line := range strings.Lines(readProc(t, pid, "mountinfo")) {
		fields := strings.Fields(line)
		if fields[4] != "/proc" {
			assert.Contains(t, strings.Split(fields[5], ","), "ro", line)
		}
	}
	requireOnlyDonated(t, pid)
}

// requireOnlyDonated looks at what QEMU has open: what it was given, and what it makes.
func requireOnlyDonated(t *testing.T, pid int) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		for _, known := range []string{"/dev/null", "socket:", "pipe:", "anon_inode:", "/vmlinux", "/memfd:initramfs", ".img"} {
			if strings.Contains(target, known) {
				target = ""
				break
			}
		}
		assert.Empty(t, target, "descriptor %s", e.Name())
	}
}

func readProc(t *testing.T, pid int, name string) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	require.NoError(t, err)
	return string(data)
}

func TestMemoryLimitEndsTheMachine(t *testing.T) {
	cfg := testConfig(t)
	cfg.MemoryBytes, cfg.OverlayBytes = 128<<20, 128<<20
	m := boot(t, cfg)
	p, err := m.Start(t.Context(), engine.Program{
		Argv: []string{"/bin/sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M; dd if=/dev/zero of=/y bs=1M"}, Env: []string{"PATH=/bin"},
	})
	require.NoError(t, err)
	go p.Wait()
	waitFor(t, m.Done())
	assert.Equal(t, engine.MemoryLimit, m.Cause())
}

func waitFor(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatal("waited in vain")
	}
}

func TestQEMUThatDies(t *testing.T) {
	m := boot(t, testConfig(t))
	require.NoError(t, unix.Kill(m.(*machine).pid, unix.SIGKILL))
	waitFor(t, m.Done())
	assert.Equal(t, engine.Crashed, m.Cause())
	_, err := m.Start(t.Context(), engine.Program{Argv: []string{"/bin/true"}})
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Gone})
}

func TestBootThatIsGivenUp(t *testing.T) {
	cfg := testConfig(t)
	before := children(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := NewTCG().Boot(ctx, cfg)
	assert.ErrorIs(t, err, &fault.Error{Code: fault.TimedOut})
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	_, err = NewTCG().Boot(ctx, cfg)
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Canceled})
	assert.Equal(t, before, children(t), "nothing is left")
}

// What a microVM cannot do is refused before anything starts.
func TestRefusals(t *testing.T) {
	plain := engine.Config{ID: "1", Root: image.Root{Kind: image.EROFS, Path: "/i"}, MemoryBytes: 256 << 20, OverlayBytes: 1 << 20}
	assert.NoError(t, sandboxer{}.Supports(plain))
	for want, change := range map[string]func(*engine.Config){
		"mkfs.erofs": func(c *engine.Config) { c.Root = image.Root{Kind: image.Host} },
		"directory":  func(c *engine.Config) { c.Root = image.Root{Kind: image.Dir, Path: "/d"} },
		"mount it with kind erofs": func(c *engine.Config) {
			c.Mounts = []*mounts.Source{{Spec: mounts.Spec{Kind: mounts.Bind, Source: "/s", Target: "/t"}}}
		},
		"at least 96 MiB": func(c *engine.Config) { c.MemoryBytes = 64 << 20 },
	} {
		cfg := plain
		change(&cfg)
		_, err := NewTCG().Boot(t.Context(), cfg)
		require.Error(t, err, want)
		assert.Contains(t, err.Error(), want)
		assert.Contains(t, []fault.Code{fault.Unsupported, fault.Limit}, fault.From(err).Code)
		assert.Error(t, New().(engine.Chooser).Usable(t.Context(), cfg), "AUTO takes another")
	}
	_, never := NewTCG().(engine.ByNameOnly)
	assert.True(t, never, "AUTO never emulates")
}

func TestKernelThatIsWrong(t *testing.T) {
	cfg := testConfig(t)
	cfg.KernelPath = "/etc/passwd"
	_, err := NewTCG().Boot(t.Context(), cfg)
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid})
	assert.ErrorContains(t, err, "msb kernel install")
}
