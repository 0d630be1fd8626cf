//go:build linux

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRunWithMounts(t *testing.T) {
	s := newShell(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("given\n"), 0o644))
	args := []string{"run", "--root", s.root,
		"--mount", "bind:" + dir + ":/rw", "--mount", "bind:" + dir + "/file:/one:ro,noexec",
		"--mount", "tmpfs:/scratch:size=64K,nosuid,nodev"}
	script := "cat /one; echo new > /rw/new; echo x > /one; dd if=/dev/zero of=/scratch/x bs=1k count=65"
	if mkfs, err := exec.LookPath("mkfs.erofs"); err == nil {
		img := filepath.Join(t.TempDir(), "img")
		out, err := exec.Command(mkfs, "-T0", "-E", "noinline_data", img, dir).CombinedOutput()
		require.NoError(t, err, string(out))
		args = append(args, "--mount", "erofs:"+img+":/image")
		script += "; cmp /image/file /one && echo same >&2"
	}
	_, out, errs := s.run(append(args, "--", "sh", "-c", script)...)
	assert.Equal(t, "given\n", out)
	assert.Contains(t, errs, "can't create /one: Read-only file system")
	assert.Contains(t, errs, "No space left on device")
	data, err := os.ReadFile(filepath.Join(dir, "new"))
	require.NoError(t, err)
	assert.Equal(t, "new\n", string(data))
	if len(args) > 9 {
		assert.Contains(t, errs, "same")
	}
}

func TestMountOptionErrors(t *testing.T) {
	s := newShell(t)
	for text, want := range map[string]string{
		"/a:/b":                "is not bind:SOURCE:TARGET",
		"bind:/a":              "is not KIND:SOURCE:TARGET",
		"bind:/a:/b:ro:/c":     "no path may hold a colon",
		"bind:/a:/b:fast":      `mount option "fast"`,
		"tmpfs:/t:size=much":   "is not a size",
		"bind:/nowhere:/b":     "no such file",
		"bind:/etc:relative":   "must be absolute",
		"tmpfs:/t:size=4K,ro:": "no path may hold a colon",
	} {
		status, _, errs := s.run("run", "--root", s.root, "--mount", text, "--", "true")
		assert.NotZero(t, status, text)
		assert.Contains(t, errs, want, text)
	}
	status, _, errs := s.run("run", "--root", s.root, "--mount", "tmpfs:/t", "--", "true")
	assert.Zero(t, status, errs)
}
