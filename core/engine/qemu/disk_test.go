package qemu

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// diskImage is a raw disk with ext4.
func diskImage(t *testing.T, name string) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skip("needs mkfs.ext4 (e2fsprogs, in PATH)")
	}
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, 8<<20))
	out, err := exec.Command(mkfs, "-q", "-F", path).CombinedOutput()
	require.NoError(t, err, string(out))
	return path
}

// What is written to a disk is there for the next machine, which may be told to leave
// it as it is.
func TestDisks(t *testing.T) {
	cfg := testConfig(t)
	raw, packed := diskImage(t, "raw"), filepath.Join(t.TempDir(), "packed")
	qemuImg, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("needs qemu-utils")
	}
	out, err := exec.Command(qemuImg, "convert", "-O", "qcow2", raw, packed).CombinedOutput()
	require.NoError(t, err, string(out))
	first, second := cfg, cfg
	with(t, &first, mounts.Spec{Kind: mounts.Disk, Source: raw, Target: "/raw"})
	with(t, &first, mounts.Spec{Kind: mounts.Disk, QCOW2: true, Source: packed, Target: "/packed"})
	m := boot(t, first)
	assert.Equal(t, "ok", output(t, m, "echo in raw > /raw/file && echo in qcow2 > /packed/file && echo ok"))
	_, status := run(t, m, "dd if=/dev/zero of=/raw/large bs=1M count=20 2>/dev/null")
	assert.NotZero(t, status.ExitStatus(), "a disk has a size")
	require.NoError(t, m.Close())

	second.ID = testID()
	with(t, &second, mounts.Spec{Kind: mounts.Disk, Source: raw, Target: "/raw", ReadOnly: true})
	with(t, &second, mounts.Spec{Kind: mounts.Disk, QCOW2: true, Source: packed, Target: "/packed", ReadOnly: true})
	m = boot(t, second)
	assert.Equal(t, "in raw\nin qcow2", output(t, m, "cat /raw/file /packed/file"))
	_, status = run(t, m, "echo x > /raw/file")
	assert.NotZero(t, status.ExitStatus(), "it is read-only")
	before, err := os.ReadFile(raw)
	require.NoError(t, err)
	require.NoError(t, m.Close())
	after, err := os.ReadFile(raw)
	require.NoError(t, err)
	assert.Equal(t, before, after, "a read-only disk is not written, not by a mount either")
}

// A disk at / takes the changes to the root: the next machine has them, and the root stays
// as it is.
func TestDiskTakesTheChangesToTheRoot(t *testing.T) {
	cfg := testConfig(t)
	root, err := os.ReadFile(cfg.Root.Path)
	require.NoError(t, err)
	disk := mounts.Spec{Kind: mounts.Disk, Source: diskImage(t, "changes"), Target: "/"}
	first, second := cfg, cfg
	with(t, &first, disk)
	m := boot(t, first)
	assert.Contains(t, m.Receipt(), "overlay: the size of the disk that takes the changes to the root")
	assert.Equal(t, "ok", output(t, m, "echo kept > /etc/file && rm /bin/uname && echo ok"))
	p, status := run(t, m, "dd if=/dev/zero of=/large bs=1M count=20 2>/dev/null")
	assert.NotZero(t, status.ExitStatus(), "it has a size: %s", p)
	require.NoError(t, m.Close())

	second.ID = testID()
	with(t, &second, disk)
	m = boot(t, second)
	assert.Equal(t, "kept\ngone", output(t, m, "cat /etc/file; [ -e /bin/uname ] || echo gone"))
	require.NoError(t, m.Close())
	after, err := os.ReadFile(cfg.Root.Path)
	require.NoError(t, err)
	assert.Equal(t, root, after)
}

func TestDiskWithoutAFileSystem(t *testing.T) {
	cfg := testConfig(t)
	path := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(path, make([]byte, 1<<20), 0o600))
	with(t, &cfg, mounts.Spec{Kind: mounts.Disk, Source: path, Target: "/disk"})
	_, err := NewTCG().Boot(t.Context(), cfg)
	require.Error(t, err)
	assert.Contains(t, err.Error(), "/disk", "the mount is named")
}

func TestTooManyDisks(t *testing.T) {
	cfg := engine.Config{ID: "1", Root: image.Root{Kind: image.EROFS, Path: "/i"}, RootFile: os.Stdin, MemoryBytes: 256 << 20, OverlayBytes: 1 << 20}
	for range maxDisks {
		cfg.Mounts = append(cfg.Mounts, &mounts.Source{Spec: mounts.Spec{Kind: mounts.Disk, Source: "/s", Target: "/t"}})
	}
	_, err := cfgDisks(cfg)
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Limit})
}
