package kernel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestPrepare(t *testing.T) {
	file, kernels := install(t, t.TempDir()), filepath.Join(t.TempDir(), "kernels")
	k, err := Prepare(kernels, file, "")
	require.NoError(t, err)
	assert.Equal(t, testRelease, k.Release)
	assert.Equal(t, []string{"virtio_ring", "virtio", "virtio_mmio", "virtio_console", "virtio_blk", "libcrc32c", "erofs"}, k.Info.Modules)
	vmlinux, err := os.ReadFile(k.Vmlinux())
	require.NoError(t, err)
	assert.Equal(t, elfFile(".text", "code of the kernel"), vmlinux)
	again, err := Prepare(kernels, file, "")
	require.NoError(t, err)
	assert.Equal(t, k, again, "what is there is used")
	entries, err := os.ReadDir(kernels)
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing else is left")

	require.NoError(t, os.WriteFile(file, append(mustRead(t, file), 0), 0o644))
	other, err := Prepare(kernels, file, "")
	require.NoError(t, err)
	assert.NotEqual(t, k.Dir, other.Dir, "another content is another kernel")
}

func mustRead(t *testing.T, path string) []byte {
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return data
}

// The archive is read by another implementation.
func TestArchive(t *testing.T) {
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		busybox, err := exec.LookPath("busybox")
		if err != nil {
			t.Skip("needs cpio or busybox")
		}
		cpio = busybox
	}
	k, err := Prepare(t.TempDir(), install(t, t.TempDir()), "")
	require.NoError(t, err)
	args := []string{"-t"}
	if filepath.Base(cpio) == "busybox" {
		args = []string{"cpio", "-t"}
	}
	cmd := exec.Command(cpio, args...)
	cmd.Stdin = bytes.NewReader(mustRead(t, k.Modules()))
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, "dev\ndev/console\nmodules\nmodules/virtio_ring.ko\nmodules/virtio.ko\nmodules/virtio_mmio.ko\n"+
		"modules/virtio_console.ko\nmodules/virtio_blk.ko\nmodules/libcrc32c.ko\nmodules/erofs.ko\nmodules/load\n", string(out))
	assert.NotContains(t, string(mustRead(t, k.Modules())), signatureMagic, "signatures are stripped")
}

func TestStripSignature(t *testing.T) {
	module := []byte("a module")
	assert.Equal(t, module, stripSignature(signed(module)))
	assert.Equal(t, module, stripSignature(module))
	for _, odd := range []string{signatureMagic, "short" + signatureMagic, "123456780000\xff\xff\xff\xff" + signatureMagic} {
		assert.Equal(t, odd, string(stripSignature([]byte(odd))), "what is no signature stays")
	}
}

func TestPrepareRefuses(t *testing.T) {
	dir := t.TempDir()
	file := install(t, dir)
	modules := filepath.Join(dir, "lib/modules", testRelease)
	require.NoError(t, os.Remove(filepath.Join(modules, "kernel/block/virtio_blk.ko")))
	_, err := Prepare(t.TempDir(), file, "")
	assert.ErrorContains(t, err, "module virtio_blk: not in "+modules)
	require.NoError(t, os.WriteFile(filepath.Join(modules, "kernel/block/virtio_blk.ko"), []byte("no ELF"), 0o644))
	_, err = Prepare(t.TempDir(), file, "")
	assert.ErrorContains(t, err, "virtio_blk.ko: packed in a way that is not known")
	_, err = Prepare(t.TempDir(), file, t.TempDir())
	assert.ErrorContains(t, err, "modules.builtin")
	require.NoError(t, os.RemoveAll(modules))
	_, err = Prepare(t.TempDir(), file, "")
	assert.ErrorContains(t, err, "its modules are in none of "+modules)
}

func TestDependenciesInCircles(t *testing.T) {
	dir := t.TempDir()
	file := install(t, dir)
	path := filepath.Join(dir, "lib/modules", testRelease, "kernel/virtio/virtio_ring.ko")
	require.NoError(t, os.WriteFile(path, elfFile(".modinfo", "depends=virtio-mmio\x00"), 0o644))
	_, err := Prepare(t.TempDir(), file, "")
	assert.ErrorContains(t, err, "circles")
}

func TestFind(t *testing.T) {
	own, system := filepath.Join(t.TempDir(), "kernels"), filepath.Join(t.TempDir(), "kernels")
	file := install(t, t.TempDir())
	byFile, err := Find(file, []string{own, system})
	require.NoError(t, err)
	assert.Equal(t, own, filepath.Dir(byFile.Dir), "prepared in the first directory")
	again, err := Find(file, []string{own, system})
	require.NoError(t, err)
	assert.Equal(t, byFile.Hash, again.Hash)
	byDir, err := Find(byFile.Dir, []string{system})
	require.NoError(t, err)
	assert.Equal(t, byFile.Hash, byDir.Hash)

	shared, err := Prepare(system, file, "")
	require.NoError(t, err)
	require.NoError(t, SetDefault(system, shared))
	standard, err := Find("", []string{filepath.Join(t.TempDir(), "none"), system})
	require.NoError(t, err)
	assert.Equal(t, shared.Hash, standard.Hash)
	list, err := List(system)
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.True(t, list[0].Default)
}

func TestFindRefuses(t *testing.T) {
	kernels := []string{filepath.Join(t.TempDir(), "kernels")}
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("no kernel"), 0o644))
	for path, want := range map[string]fault.Code{
		"/no/such/kernel": fault.NotFound, text: fault.Invalid, t.TempDir(): fault.Invalid,
	} {
		_, err := Find(path, kernels)
		require.Error(t, err, path)
		assert.Equal(t, want, fault.From(err).Code, "%v", err)
		assert.Contains(t, err.Error(), "msb kernel install", "it says what to type")
	}
	if Installed("/boot") == "" {
		_, err := Find("", kernels)
		assert.ErrorIs(t, err, &fault.Error{Code: fault.NotFound})
		assert.ErrorContains(t, err, "msb kernel install")
	}
	require.NoError(t, os.MkdirAll(filepath.Join(kernels[0], defaultName), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(kernels[0], defaultName, infoFile), []byte(`{"format":"0"}`), 0o644))
	_, err := Find("", kernels)
	assert.ErrorContains(t, err, "another version of msb")
}

func TestInstalledTakesTheNewestCloudKernel(t *testing.T) {
	dir := t.TempDir()
	for _, release := range []string{"6.1.0-9-cloud-amd64", "6.1.0-56-cloud-amd64", "6.12.0-1-amd64", "6.13.0-cloud-amd64"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "boot"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "boot/vmlinuz-"+release), nil, 0o644))
		if release == "6.13.0-cloud-amd64" {
			continue // without modules
		}
		modules := filepath.Join(dir, "lib/modules", release)
		require.NoError(t, os.MkdirAll(modules, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(modules, "modules.builtin"), nil, 0o644))
	}
	assert.Equal(t, filepath.Join(dir, "boot/vmlinuz-6.1.0-56-cloud-amd64"), Installed(filepath.Join(dir, "boot")))
	assert.Empty(t, Installed(filepath.Join(dir, "none")))
}
