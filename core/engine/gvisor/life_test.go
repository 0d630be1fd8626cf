package gvisor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// descendants returns the live and dead processes below pid.
func descendants(t testing.TB, pid int) []int {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	require.NoError(t, err)
	var all []int
	for _, list := range lists {
		data, _ := os.ReadFile(list)
		for _, field := range strings.Fields(string(data)) {
			child, err := strconv.Atoi(field)
			require.NoError(t, err)
			all = append(append(all, child), descendants(t, child)...)
		}
	}
	return all
}

func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

func TestCloseLeavesNothing(t *testing.T) {
	roots := map[string]image.Root{"host": {}, "dir": busyboxRoot(t)}
	roots["erofs"] = erofsRoot(t, roots["dir"].Path)
	for name, root := range roots {
		t.Run(name, func(t *testing.T) {
			once := func() {
				m := bootMachine(t, newConfig(t, root))
				r, err := spawn(t, m, engine.Program{Argv: []string{"sleep", "1000"}})
				require.NoError(t, err)
				require.NotEmpty(t, descendants(t, os.Getpid()))
				require.NoError(t, m.Close())
				require.NoError(t, m.Close(), "Close is idempotent")
				require.Equal(t, engine.Closed, m.Cause())
				_, err = r.Wait()
				require.ErrorIs(t, err, &fault.Error{Code: fault.Gone})
				_, err = spawn(t, m, engine.Program{Argv: []string{"true"}})
				require.ErrorIs(t, err, &fault.Error{Code: fault.Gone})
			}
			once()
			before := openFiles(t)
			once()
			require.Empty(t, descendants(t, os.Getpid()))
			require.Eventually(t, func() bool { return openFiles(t) <= before }, 5*time.Second, time.Millisecond)
		})
	}
}

// The guest's files must never reach the directory that it was given.
func TestDirIsNeverWritten(t *testing.T) {
	root := busyboxRoot(t)
	list := func() string {
		out, err := exec.Command("find", root.Path, "-printf", "%p %s %m %u %T@ %C@\n").CombinedOutput()
		require.NoError(t, err)
		return string(out)
	}
	before := list()
	m := bootMachine(t, newConfig(t, root))
	output(t, m, "sh", "-c", "echo x > /new; echo y > /bin/new; rm /bin/ls; chmod 700 /bin/busybox; mkdir -p /a/b; chown 5:6 /etc")
	require.Equal(t, "x", output(t, m, "cat", "/new"))
	require.Equal(t, before, list())
	require.NoError(t, m.Close())
	require.Equal(t, before, list())
}

func TestLongPrivateDirectory(t *testing.T) {
	cfg := newConfig(t, busyboxRoot(t))
	cfg.Dir = filepath.Join(cfg.Dir, strings.Repeat("long/", 200), strings.Repeat("n", 200))
	require.NoError(t, os.MkdirAll(cfg.Dir, 0o700))
	m := bootMachine(t, cfg)
	require.Equal(t, "hi", output(t, m, "echo", "hi"))
	require.FileExists(t, filepath.Join(cfg.Dir, "runsc-"+cfg.ID+".sock"))
}

func TestCrashIsSeen(t *testing.T) {
	var log []string
	cfg := newConfig(t, busyboxRoot(t))
	cfg.Log = func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	m := bootMachine(t, cfg)
	r, err := spawn(t, m, engine.Program{Argv: []string{"sleep", "1000"}})
	require.NoError(t, err)
	require.NoError(t, unix.Kill(m.(*machine).pid, unix.SIGKILL))
	select {
	case <-m.Done():
	case <-time.After(testTimeout):
		t.Fatal("the end of the sentry was not seen")
	}
	require.Equal(t, engine.Crashed, m.Cause())
	require.Equal(t, "engine gvisor: the sentry has ended: killed by signal 9", log[len(log)-1])
	_, err = r.Wait()
	require.Error(t, err)
	require.NoError(t, m.Close())
	require.Equal(t, engine.Crashed, m.Cause())
	require.Empty(t, descendants(t, os.Getpid()))
}

func TestKilledSupervisorLeavesNoProcess(t *testing.T) {
	needStatic(t)
	for name, root := range map[string]image.Root{"host": {}, "dir": busyboxRoot(t)} {
		t.Run(name, func(t *testing.T) {
			exe, err := os.Executable()
			require.NoError(t, err)
			supervisor := exec.Command(exe, "-test.run=^TestHelperSupervisor$")
			supervisor.Env = append(os.Environ(), "MSB_TEST_ROOT="+root.Path, "TMPDIR="+t.TempDir())
			out, err := supervisor.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, supervisor.Start())
			line, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, "running\n", line)
			pids := descendants(t, supervisor.Process.Pid)
			require.GreaterOrEqual(t, len(pids), 2, "sentry and gofer")
			require.NoError(t, supervisor.Process.Kill())
			supervisor.Wait()
			require.Eventually(t, func() bool {
				for _, pid := range pids {
					if alive(pid) {
						return false
					}
				}
				return true
			}, 10*time.Second, time.Millisecond)
		})
	}
}

// alive tells whether a process exists and is no zombie.
func alive(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// TestHelperSupervisor is the supervisor that another test kills.
func TestHelperSupervisor(t *testing.T) {
	path, ok := os.LookupEnv("MSB_TEST_ROOT")
	if !ok {
		t.Skip("runs only as a child of TestKilledSupervisorLeavesNoProcess")
	}
	root := image.Root{Path: path}
	if path != "" {
		root.Kind = image.Dir
	}
	m := bootMachine(t, newConfig(t, root))
	_, err := spawn(t, m, engine.Program{Argv: []string{"sleep", "1000"}})
	require.NoError(t, err)
	fmt.Println("running")
	<-m.Done()
}

func TestCanceledBootLeavesNothing(t *testing.T) {
	root := busyboxRoot(t)
	for after := time.Duration(0); after < 120*time.Millisecond; after += 15 * time.Millisecond {
		cfg := newConfig(t, root)
		ctx, cancel := context.WithTimeout(context.Background(), after)
		m, err := New().Boot(ctx, cfg)
		if err == nil {
			require.NoError(t, m.Close())
		} else {
			require.ErrorIs(t, err, &fault.Error{Code: fault.TimedOut}, "after %v", after)
		}
		cancel()
		require.Empty(t, descendants(t, os.Getpid()))
	}
}

func TestCanceledStart(t *testing.T) {
	m := bootMachine(t, newConfig(t, busyboxRoot(t)))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, env := range [][]string{defaultEnv, twice} {
		_, err := m.Start(ctx, engine.Program{Argv: []string{"sleep", "1000"}, Env: env})
		require.ErrorIs(t, err, &fault.Error{Code: fault.Canceled})
	}
	require.Eventually(t, func() bool {
		return !strings.Contains(output(t, m, "ps", "-o", "comm"), "sleep")
	}, 10*time.Second, time.Millisecond)
}

// A host that ignores SIGCHLD hands that down to the supervisor; Go's runtime
// installs a handler all the same, without which the kernel would reap our
// children, and free their pids, unseen.
func TestIgnoredSIGCHLD(t *testing.T) {
	needStatic(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3, to start a program that ignores SIGCHLD")
	}
	cmd := exec.Command(python, "-c", `import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])`, exe, "-test.v", "-test.run=^(TestCloseLeavesNothing|TestCrashIsSeen)$")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: TestCloseLeavesNothing")
}

func TestUnusualRootPaths(t *testing.T) {
	real := busyboxRoot(t)
	base := t.TempDir()
	for name, path := range map[string]string{
		"link":      filepath.Join(base, "link"),
		"odd":       filepath.Join(base, "with space,comma:colon=é%d"),
		"not utf-8": filepath.Join(base, "\xff\xfe"),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "link" {
				require.NoError(t, os.Symlink(real.Path, path))
			} else {
				require.NoError(t, exec.Command("cp", "-a", real.Path, path).Run())
			}
			cfg := newConfig(t, image.Root{Kind: image.Dir, Path: path})
			if name == "not utf-8" && os.Geteuid() != 0 {
				_, err := New().Boot(t.Context(), cfg)
				require.ErrorIs(t, err, &fault.Error{Code: fault.Unsupported, Stage: fault.StageRoot})
				return
			}
			require.Equal(t, "hi", output(t, bootMachine(t, cfg), "echo", "hi"))
		})
	}
	t.Run("image not utf-8", func(t *testing.T) {
		img := erofsRoot(t, real.Path)
		path := filepath.Join(base, "\xff.img")
		require.NoError(t, os.Rename(img.Path, path))
		m := bootMachine(t, newConfig(t, image.Root{Kind: image.EROFS, Path: path}))
		require.Equal(t, "hi", output(t, m, "echo", "hi"))
	})
}
