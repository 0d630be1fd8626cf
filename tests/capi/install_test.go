package capi

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func example(t *testing.T, name string) string {
	t.Helper()
	real(t)
	path := filepath.Join(t.TempDir(), name)
	compile(t, path, filepath.Join(root, "examples/c", name+".c"))
	return path
}

// It exits without waiting for the end of its sandbox, which ends all the same.
func TestExampleHello(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	assert.Equal(t, "hello from Linux\n", run(t, time.Minute, []string{"MSB_HOME=" + state}, example(t, "hello")))
	assert.Eventually(t, func() bool {
		left, err := os.ReadDir(filepath.Join(state, "sandboxes"))
		return err == nil && len(left) == 0
	}, 20*time.Second, 20*time.Millisecond)
}

func TestExampleDemo(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	out := run(t, time.Minute, []string{"MSB_HOME=" + state}, example(t, "demo"))
	for _, line := range []string{"  -> exit status 7 after ", "  numbers with a 7: 40951", "  line 3", "  -> ended by signal 15", "the sandbox is gone"} {
		assert.Contains(t, out, line)
	}
	nothingLeft(t, state)
}

func TestExamplePool(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	out := run(t, time.Minute, []string{"MSB_HOME=" + state}, example(t, "pool"))
	assert.Equal(t, "hello, ada\nhello, grace\nhello, edsger\ntaken: 3\n", out)
	assert.Eventually(t, func() bool {
		left, err := os.ReadDir(filepath.Join(state, "sandboxes"))
		return err == nil && len(left) == 0
	}, 20*time.Second, 20*time.Millisecond)
}

// install runs `make install-lib` into a directory and returns it.
func install(t *testing.T) string {
	t.Helper()
	library(t)
	dest := t.TempDir()
	cmd := exec.Command("make", "-s", "-o", "lib", "install-lib", "PREFIX=/opt/msb", "LIBEXECDIR=/opt/msb/libexec", "DESTDIR="+dest)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dest
}

const consumer = `
#include <microsandbox.h>
#include <stdio.h>
int main(void)
{
	printf("%d\n", msb_version() == MSB_VERSION);
	return 0;
}
`

func TestInstalledFiles(t *testing.T) {
	dest := install(t)
	prefix := dest + "/opt/msb"
	for _, file := range []string{"include/microsandbox.h", "include/microsandbox/base.h", "lib/libmicrosandbox.so", "lib/libmicrosandbox.so.0", "lib/pkgconfig/microsandbox.pc"} {
		_, err := os.Stat(filepath.Join(prefix, file))
		assert.NoError(t, err)
	}
	for _, file := range []string{"lib/pkgconfig/microsandbox.pc", "lib/cmake/microsandbox/microsandboxConfig.cmake", "lib/cmake/microsandbox/microsandboxConfigVersion.cmake"} {
		text, err := os.ReadFile(filepath.Join(prefix, file))
		require.NoError(t, err)
		assert.NotContains(t, string(text), "@", "%s: everything is filled in", file)
		assert.NotContains(t, string(text), dest, "%s: DESTDIR is not part of it", file)
		assert.Contains(t, string(text), "0.1.0")
	}
}

func TestPkgConfig(t *testing.T) {
	if _, err := exec.LookPath("pkg-config"); err != nil {
		t.Skip("pkg-config is not installed")
	}
	dest := install(t)
	cmd := exec.Command("pkg-config", "--cflags", "--libs", "microsandbox")
	cmd.Env = append(os.Environ(), "PKG_CONFIG_PATH="+dest+"/opt/msb/lib/pkgconfig", "PKG_CONFIG_SYSROOT_DIR="+dest)
	flags, err := cmd.Output()
	require.NoError(t, err)
	source, binary := filepath.Join(dest, "consumer.c"), filepath.Join(dest, "consumer")
	require.NoError(t, os.WriteFile(source, []byte(consumer), 0o600))
	args := append([]string{"-o", binary, source, "-Wl,-rpath," + dest + "/opt/msb/lib"}, strings.Fields(string(flags))...)
	out, err := exec.Command("gcc", args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	assert.Equal(t, "1\n", run(t, time.Minute, nil, binary))
}

func TestCMakePackage(t *testing.T) {
	if _, err := exec.LookPath("cmake"); err != nil {
		t.Skip("cmake is not installed")
	}
	dest := t.TempDir()
	library(t)
	cmd := exec.Command("make", "-s", "-o", "lib", "install-lib", "PREFIX="+dest)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	project := t.TempDir()
	require.NoError(t, os.WriteFile(project+"/consumer.c", []byte(consumer), 0o600))
	require.NoError(t, os.WriteFile(project+"/CMakeLists.txt", []byte(`cmake_minimum_required(VERSION 3.10)
project(consumer C)
find_package(microsandbox 0.1 REQUIRED)
add_executable(consumer consumer.c)
target_link_libraries(consumer microsandbox::microsandbox)
`), 0o600))
	for _, args := range [][]string{{"-S", project, "-B", project + "/b", "-DCMAKE_PREFIX_PATH=" + dest}, {"--build", project + "/b"}} {
		out, err := exec.Command("cmake", args...).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	assert.Equal(t, "1\n", run(t, time.Minute, nil, project+"/b/consumer"))
}
