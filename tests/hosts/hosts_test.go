// Package hosts runs programs that embed the library in the ways that programs do:
// docs/embedding.md says what holds for them.
package hosts

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

const limit = 2 * time.Minute

func library(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../build/lib/libmicrosandbox.so.0")
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "run `make lib` first")
	harness.Binary(t)
	return path
}

// build compiles a host program against the header and, if linked, the library.
func build(t *testing.T, source string, linked bool) string {
	t.Helper()
	lib := library(t)
	program := filepath.Join(t.TempDir(), "host")
	compiler, std := "gcc", "-std=gnu11"
	if strings.HasSuffix(source, ".cc") {
		compiler, std = "g++", "-std=c++17"
	}
	args := []string{std, "-Wall", "-Wextra", "-Werror", "-O1", "-I../../include", "-o", program, "programs/" + source, "-pthread", "-ldl"}
	if linked {
		args = append(args, lib, "-Wl,-rpath,"+filepath.Dir(lib))
	}
	out, err := exec.Command(compiler, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// run returns a host's output, and checks that it left nothing.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	state := t.TempDir()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "MSB_HOME="+state)
	timer := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	harness.Swept(t, state)
	return strings.TrimSpace(string(out))
}

func TestCPlusPlusWithExceptionsAndThreads(t *testing.T) {
	assert.Equal(t, "good 32 thrown 32", run(t, build(t, "threads.cc", true)))
}

func TestLibraryLoadedLateIsCalledFromManyThreads(t *testing.T) {
	assert.Equal(t, "files 0\ngood 64000", run(t, build(t, "late.c", false), library(t)))
}

func TestPreforkingPythonServer(t *testing.T) {
	library(t)
	state := t.TempDir()
	cmd := exec.Command("/usr/bin/python3", "programs/prefork.py")
	cmd.Env = append(os.Environ(), "MSB_HOME="+state, "PYTHONPATH=../../bindings/python/src")
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	timer := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer timer.Stop()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(line, "['fresh', 'fresh', 'fresh', 'fresh']"), line)

	workers := harness.Tree(t, cmd.Process.Pid)
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()
	// The workers live on with copies of every descriptor; the sandbox does not.
	harness.Swept(t, state)
	for _, w := range workers {
		if p, err := os.FindProcess(w.Pid); err == nil && w.Alive() {
			p.Kill()
		}
	}
	harness.Gone(t, workers, limit)
}
