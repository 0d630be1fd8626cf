//go:build linux

package main_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMicroVM(t *testing.T) {
	kernel := harness.Kernel(t)
	s := newShell(t)
	vm := []string{"run", "--engine", "qemu-tcg", "--kernel", kernel, "--root", "erofs:" + harness.Root(t).Path}
	status, out, errs := s.run(append(vm, "--", "sh", "-c", "echo from a microVM; exit 4")...)
	assert.Equal(t, 4, status, errs)
	assert.Equal(t, "from a microVM\n", out)
	status, _, errs = s.run(append(vm, "--mount", "bind:/usr:/mnt", "--", "true")...)
	assert.Equal(t, 125, status)
	assert.Contains(t, errs, "mkfs.erofs", "it says what to do instead")
	status, out, _ = s.run("doctor", "--kernel", kernel)
	assert.Equal(t, 0, status, out)
	assert.Regexp(t, `(?m)^qemu-tcg +works: the guest answered after `, out)
	assert.Regexp(t, `(?m)^qemu +(works|does not work): .`, out)
	assert.Regexp(t, `(?m)^gvisor +works$`, out)
}

func TestEngineNames(t *testing.T) {
	s := newShell(t)
	status, _, errs := s.run("run", "--engine", "nosuch", "--", "true")
	assert.Equal(t, 2, status)
	assert.Contains(t, errs, "auto, gvisor, qemu, qemu-tcg")
	status, out, errs := s.run("run", "--engine", "gvisor", "--root", s.root, "--", "echo", "hi")
	assert.Equal(t, 0, status, errs)
	assert.Equal(t, "hi\n", out)
}

func TestKernelCommands(t *testing.T) {
	s := newShell(t)
	dir := filepath.Join(t.TempDir(), "kernels")
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("no kernel"), 0o644))
	status, _, errs := s.run("kernel", "install", "--dir", dir, "--from", text)
	assert.Equal(t, 125, status)
	assert.Contains(t, errs, "neither a bzImage")
	status, out, errs := s.run("kernel", "ls", "--dir", dir)
	assert.Equal(t, 0, status, errs)
	assert.Empty(t, out)
	status, _, errs = s.run("kernel", "install", "--from", text, "--package", "linux")
	assert.Equal(t, 2, status)
	assert.Contains(t, errs, "--from or --package")
	status, _, errs = s.run("kernel")
	assert.Equal(t, 2, status)
	assert.Contains(t, errs, "install or ls")
}
