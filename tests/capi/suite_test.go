// Package capi tests the promises of the public header through the C ABI: the
// programs in c/ are compiled with gcc against the built library and run.
package capi

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

const root = "../.."

// absolute returns the absolute path of a file of the repository that must exist.
func absolute(t *testing.T, path, how string) string {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join(root, path))
	require.NoError(t, err)
	_, err = os.Stat(abs)
	require.NoError(t, err, "%s is missing: run `%s` first", path, how)
	return abs
}

// $MSB_TEST_LIBRARY is the directory of a library to test in place of the one of this
// tree, and $MSB_TEST_CC a compiler for its processor, which is emulated.
var (
	otherLibrary = os.Getenv("MSB_TEST_LIBRARY")
	compiler     = cmp.Or(os.Getenv("MSB_TEST_CC"), "gcc")
)

// notEmulated are the tests that qemu's user emulation cannot run, and why.
var notEmulated = map[string]string{
	"fork_is_refused": "needs MADV_WIPEONFORK to notice a raw clone",
	"mount_arguments": "needs openat2",
	"real_mounts":     "needs openat2",
}

func library(t *testing.T) string {
	t.Helper()
	if otherLibrary != "" {
		return otherLibrary
	}
	return filepath.Dir(absolute(t, "build/lib/libmicrosandbox.so", "make lib"))
}

// real fails when there is no msb to run sandboxes with.
func real(t *testing.T) string {
	t.Helper()
	return absolute(t, "build/bin/msb", "make")
}

// compile builds C sources against the library, as a host program would be.
func compile(t *testing.T, output string, sources ...string) {
	t.Helper()
	lib := library(t)
	// gcc reads these unseen by go test, which keeps the results of unchanged inputs.
	inputs, err := filepath.Glob("c/*.[ch]")
	require.NoError(t, err)
	headers, err := filepath.Glob(filepath.Join(root, "include/microsandbox/*.h"))
	require.NoError(t, err)
	headers = append(headers, filepath.Join(root, "include/microsandbox.h"))
	for _, input := range slices.Concat(inputs, sources, headers) {
		_, err := os.Stat(input)
		require.NoError(t, err)
	}
	args := []string{"-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread",
		"-I", filepath.Join(root, "include"), "-o", output}
	args = append(args, sources...)
	args = append(args, "-L", lib, "-lmicrosandbox", "-Wl,-rpath,"+lib)
	out, err := exec.Command(compiler, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

var suite = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "msb-capi-") })

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := suite(); err == nil {
		os.RemoveAll(dir)
	}
	harness.Clean()
	os.Exit(code)
}

var buildOnce sync.Once

// program returns the compiled suite of c/*.c.
func program(t *testing.T) string {
	t.Helper()
	dir, err := suite()
	require.NoError(t, err)
	path := filepath.Join(dir, "suite")
	buildOnce.Do(func() {
		sources, err := filepath.Glob("c/*.c")
		require.NoError(t, err)
		compile(t, path, sources...)
	})
	_, err = os.Stat(path)
	require.NoError(t, err, "the C suite did not compile")
	return path
}

// fakes are supervisors that misbehave, by name.
var fakes = map[string]string{
	"hangs":       "exec sleep 600",
	"stubborn":    "trap '' TERM; while :; do sleep 1; done",
	"exits":       "exit 3",
	"complains":   "echo 'the engine is out of order' >&2; exit 1",
	"garbage":     "head -c 100000 /dev/urandom >&6; exec sleep 600",
	"newline":     "echo >&6; exec sleep 600",
	"old":         `echo "{\"pid\":$$,\"protocol\":0}" >&6; exec sleep 600`,
	"new":         `echo "{\"pid\":$$,\"protocol\":999}" >&6; exec sleep 600`,
	"wrapper":     fmt.Sprintf(`echo "{\"pid\":1,\"protocol\":%d}" >&6; exec sleep 600`, control.Protocol),
	"silent":      fmt.Sprintf(`echo "{\"pid\":$$,\"protocol\":%d}" >&6; exec sleep 600`, control.Protocol),
	"dies":        fmt.Sprintf(`echo "{\"pid\":$$,\"protocol\":%d}" >&6; echo 'no memory' >&2; exit 9`, control.Protocol),
	"talks":       fmt.Sprintf(`echo "{\"pid\":$$,\"protocol\":%d}" >&6; echo 'not a message' >&3; exec sleep 600`, control.Protocol),
	"floods":      "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx >&2; done",
	"killsitself": "kill -9 $$",
}

// writeFakes makes a directory of fakes, which record their process ids in pids.
func writeFakes(t *testing.T) (dir, pids string) {
	t.Helper()
	dir = t.TempDir()
	pids = filepath.Join(dir, "pids")
	require.NoError(t, os.WriteFile(pids, nil, 0o666))
	for name, script := range fakes {
		text := fmt.Sprintf("#!/bin/sh\necho $$ >> %s\n%s\n", pids, script)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "forbidden"), []byte("#!/bin/sh\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "noformat"), []byte("\x00\x01\x02 no program"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "empty"), nil, 0o755))
	return dir, pids
}

// noneAlive checks that no process of the file is left.
func noneAlive(t *testing.T, pids string) {
	t.Helper()
	text, err := os.ReadFile(pids)
	require.NoError(t, err)
	for pid := range strings.FieldsSeq(string(text)) {
		cmdline, err := os.ReadFile("/proc/" + pid + "/cmdline")
		assert.False(t, err == nil && (bytes.Contains(cmdline, []byte("sleep")) || bytes.Contains(cmdline, []byte("supervise"))),
			"supervisor %s lives on: %q", pid, cmdline)
	}
}

// nothingLeft checks that a state directory holds no sandbox.
func nothingLeft(t *testing.T, state string) {
	t.Helper()
	filepath.WalkDir(state, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() && path != state && filepath.Dir(path) != state {
			t.Errorf("left behind: %s", path)
		}
		return nil
	})
}

// run runs a host program in an environment of its own and returns its output.
func run(t *testing.T, limit time.Duration, env []string, argv ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}, env...)
	if prefix, ok := os.LookupEnv("QEMU_LD_PREFIX"); ok {
		cmd.Env = append(cmd.Env, "QEMU_LD_PREFIX="+prefix)
	}
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	require.NoError(t, ctx.Err(), "not within %v: %s", limit, out.String())
	require.NoError(t, err, "%s", out.String())
	return out.String()
}

// driverCalls is how many random calls are made: all of them in a long run.
func driverCalls() string {
	switch {
	case os.Getenv("MSB_DRIVER_CALLS") != "":
		return os.Getenv("MSB_DRIVER_CALLS")
	case os.Getenv("MSB_TEST_LONG") != "":
		return "10000000"
	}
	return "500000"
}

func TestSuite(t *testing.T) {
	bin := program(t)
	names := strings.Fields(run(t, 10*time.Second, nil, bin))
	require.Greater(t, len(names), 25)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			suiteTest(t, bin, name)
		})
	}
}

// suiteTest runs one test of the C suite.
func suiteTest(t *testing.T, bin, name string) {
	t.Helper()
	if why := notEmulated[name]; why != "" && otherLibrary != "" {
		t.Skip("emulated: " + why)
	}
	if strings.HasPrefix(name, "real_") {
		real(t)
	}
	state := filepath.Join(t.TempDir(), "state")
	fakes, pids := writeFakes(t)
	env := []string{"MSB_HOME=" + state, "FAKES=" + fakes, "DRIVER_CALLS=" + driverCalls()}
	if name == "real_microvm" {
		env = append(env, "MICROVM_KERNEL="+harness.Kernel(t), "MICROVM_ROOT="+harness.Root(t).Path)
	}
	limit := 4 * time.Minute
	if otherLibrary != "" {
		limit = time.Minute // where an emulator can hang, and the random calls are few
	}
	out := run(t, limit, env, bin, name)
	if out != "" {
		t.Log(out)
	}
	noneAlive(t, pids)
	nothingLeft(t, state)
}

// A Go program has its own way with SIGPIPE: only a C host can show this.
func TestW04NoWriteRaisesSIGPIPE(t *testing.T) { suiteTest(t, program(t), "real_sigpipe_at_default") }

// A host that reaps every child, or wants none, takes no status from us.
func TestW02TheHostCannotStealTheStatus(t *testing.T) {
	for _, name := range []string{"real_host_reaps_everything", "real_host_wants_no_children", "real_host_ignores_sigchld"} {
		suiteTest(t, program(t), name)
	}
}
