//go:build linux

package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// shell is a command line with a state directory of its own.
type shell struct {
	t     *testing.T
	state string
	root  string
}

func newShell(t *testing.T) shell {
	t.Helper()
	return shell{t, filepath.Join(t.TempDir(), "state"), "dir:" + harness.DirRoot(t).Path}
}

func (s shell) command(args ...string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command(harness.Binary(s.t), args...)
	cmd.Env = append(os.Environ(), "MSB_HOME="+s.state)
	return cmd
}

// run runs msb to its end.
func (s shell) run(args ...string) (status int, out, errs string) {
	s.t.Helper()
	return finish(s.t, s.command(args...))
}

// in runs a program in a new sandbox.
func (s shell) in(args ...string) (status int, out, errs string) {
	s.t.Helper()
	return s.run(append([]string{"run", "--root", s.root, "--"}, args...)...)
}

func finish(t *testing.T, cmd *exec.Cmd) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// begin starts msb and waits for its program's first line, "up".
func (s shell) begin(args ...string) (*exec.Cmd, *bufio.Reader) {
	s.t.Helper()
	cmd := s.command(args...)
	cmd.Stderr = os.Stderr
	pipe, err := cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	out := bufio.NewReader(pipe)
	line, err := out.ReadString('\n')
	require.NoError(s.t, err)
	require.Equal(s.t, "up\n", line)
	return cmd, out
}

func TestExitStatusIsTheProgramsOwn(t *testing.T) {
	s := newShell(t)
	for _, c := range []int{0, 1, 2, 42, 125, 127, 255} {
		status, _, errs := s.in("sh", "-c", fmt.Sprintf("exit %d", c))
		assert.Equal(t, c, status)
		assert.Empty(t, errs)
	}
	for _, sig := range []int{2, 9, 15} {
		status, _, _ := s.in("sh", "-c", fmt.Sprintf("kill -%d $$", sig))
		assert.Equal(t, 128+sig, status)
	}
	assert.Empty(t, harness.Entries(t, s.state))
}

func TestExitStatusOfFailures(t *testing.T) {
	s := newShell(t)
	for _, c := range []struct {
		status int
		text   string
		args   []string
	}{
		{127, "no-such-program", []string{"run", "--root", s.root, "no-such-program"}},
		{126, "/etc/noexec", []string{"run", "--root", s.root, "/etc/noexec"}},
		{126, "/no/dir", []string{"run", "--root", s.root, "--cwd", "/no/dir", "true"}},
		{125, "/no/such/root", []string{"run", "--root", "dir:/no/such/root", "true"}},
		{125, "nobody", []string{"exec", "nobody", "true"}},
		{125, "nobody", []string{"kill", "nobody"}},
		{125, "is a file", []string{"run", "--state", "/etc/passwd", "--root", s.root, "true"}},
	} {
		status, out, errs := s.run(c.args...)
		assert.Equal(t, c.status, status, "%v: %s", c.args, errs)
		assert.Empty(t, out)
		assert.True(t, strings.HasPrefix(errs, "msb: "), errs)
		assert.Equal(t, 1, strings.Count(errs, "\n"), "one line: %s", errs)
		if c.text != "is a file" {
			assert.Contains(t, errs, c.text)
		}
	}
}

func TestBadUsage(t *testing.T) {
	s := newShell(t)
	for _, args := range [][]string{
		{}, {"frobnicate"}, {"run", "--no-such-flag"}, {"run", "--root", "tape:x"}, {"run", "--memory", "lots"},
		{"run", "--memory", "1K", "--root", s.root, "true"}, {"run", "--name", "a/b", "--root", s.root, "true"},
		{"run", "--env", "novalue", "--root", s.root, "true"}, {"run", "--cwd", "relative", "--root", s.root, "true"},
		{"exec"}, {"exec", "name"}, {"exec", "name", "--"}, {"kill"}, {"kill", "-s", "HUP", "x"}, {"kill", "-s", "999", "x"}, {"ls", "--nope"},
		{"run", "--memory", "99999999999999999999T", "--root", s.root, "true"},
	} {
		status, out, errs := s.run(args...)
		assert.Equal(t, 2, status, "%v: %s", args, errs)
		assert.Empty(t, out, args)
		assert.NotEmpty(t, errs, args)
	}
	status, out, _ := s.run("help")
	assert.Zero(t, status)
	assert.Contains(t, out, "msb run")
	status, out, _ = s.run("version")
	assert.Zero(t, status)
	assert.Regexp(t, `^msb \S+\n$`, out)
}

// The supervisor's command is for the library: by hand it says so and ends.
func TestSuperviseByHand(t *testing.T) {
	s := newShell(t)
	status, _, errs := s.run("supervise", "--name=x")
	assert.Equal(t, 2, status)
	assert.Contains(t, errs, "for the library only")
}

func TestStreamsPassThrough(t *testing.T) {
	s := newShell(t)
	data := bytes.Repeat([]byte("0123456789abcde\n"), 1<<16) // 1 MiB
	cmd := s.command("run", "--root", s.root, "--", "sh", "-c", "cat; echo err >&2")
	cmd.Stdin = bytes.NewReader(data)
	status, out, errs := finish(t, cmd)
	assert.Zero(t, status)
	assert.Equal(t, len(data), len(out))
	assert.True(t, out == string(data), "the bytes are the same")
	assert.Equal(t, "err\n", errs)

	file, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer file.Close()
	cmd = s.command("run", "--root", s.root, "--", "echo", "to a file")
	cmd.Stdout = file
	require.NoError(t, cmd.Run())
	text, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	assert.Equal(t, "to a file\n", string(text))
}

func TestEnvironmentAndDirectory(t *testing.T) {
	s := newShell(t)
	status, out, _ := s.run("run", "--root", s.root, "--env", "A=1", "--env", "A=2", "--cwd", "/tmp", "sh", "-c", `pwd; echo $A $HOME $MSB_HOME`)
	assert.Zero(t, status)
	assert.Equal(t, "/tmp\n2 /root\n", out, "nothing of the host's environment comes in")
	status, out, _ = s.run("run", "--root", s.root, "--clear-env", "--env", "B=x", "/bin/env")
	assert.Zero(t, status)
	assert.Equal(t, "B=x\n", out)
}

func TestSignalsAreForwarded(t *testing.T) {
	s := newShell(t)
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1} {
		cmd, out := s.begin("run", "--root", s.root, "--", "sh", "-c",
			fmt.Sprintf("trap 'echo caught; exit 9' %d; echo up; while :; do sleep 0.02; done", sig))
		require.NoError(t, cmd.Process.Signal(sig))
		rest, err := io.ReadAll(out)
		require.NoError(t, err)
		assert.Equal(t, "caught\n", string(rest))
		cmd.Wait()
		assert.Equal(t, 9, cmd.ProcessState.ExitCode(), sig)
	}
	cmd, _ := s.begin("run", "--root", s.root, "--", "sh", "-c", "echo up; while :; do sleep 0.02; done")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	cmd.Wait()
	assert.Equal(t, 128+15, cmd.ProcessState.ExitCode(), "one that catches nothing dies of it")
	assert.Empty(t, harness.Entries(t, s.state))
}

// A reader that leaves ends the program, as in any pipeline.
func TestClosedOutputEndsTheProgram(t *testing.T) {
	s := newShell(t)
	cmd := s.command("run", "--root", s.root, "--", "sh", "-c", "echo up; yes")
	pipe, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = io.ReadFull(pipe, make([]byte, 3))
	require.NoError(t, err)
	pipe.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		cmd.Wait()
	}()
	harness.Wait(t, done, "msb to end")
	assert.NotZero(t, cmd.ProcessState.ExitCode())
	assert.Empty(t, harness.Entries(t, s.state))
}

func TestListOfAPool(t *testing.T) {
	s := newShell(t)
	p, err := core.NewPool(core.PoolOptions{Sandbox: core.Options{
		MsbPath: harness.Binary(t), State: core.State{Dir: s.state}, Root: harness.Root(t), StopGrace: -1,
	}})
	require.NoError(t, err)
	defer func() {
		p.Close()
		harness.Wait(t, p.Done(), "the pool to be gone")
	}()
	harness.Wait(t, p.Ready(), "the pool to be full")
	_, out, _ := s.run("ls")
	assert.Equal(t, 1, strings.Count(out, "\n"), "only the heading: %q", out)
	_, out, _ = s.run("ls", "--pool")
	assert.Regexp(t, `(?m)^msb-pool-[0-9a-f]{12}\s+running\s+gvisor\s+\d+\s+\S+\s+attached,in a pool`, out)
	_, out, _ = s.run("audit")
	assert.Contains(t, out, "waits in a pool")
}

func TestListExecKill(t *testing.T) {
	s := newShell(t)
	status, out, _ := s.run("ls")
	assert.Zero(t, status)
	assert.Equal(t, 1, strings.Count(out, "\n"), "only the heading: %q", out)

	cmd, _ := s.begin("run", "--name", "one", "--root", s.root, "--", "sh", "-c", "echo up; cat /dev/zero >/dev/null")
	status, out, _ = s.run("ls")
	assert.Zero(t, status)
	assert.Regexp(t, `(?m)^one\s+running\s+gvisor\s+\d+\s+`, out)

	status, out, errs := s.run("exec", "one", "--", "sh", "-c", "echo inside; exit 3")
	assert.Equal(t, 3, status, errs)
	assert.Equal(t, "inside\n", out)
	status, _, errs = s.run("run", "--name", "one", "--root", s.root, "true")
	assert.Equal(t, 125, status)
	assert.Contains(t, errs, "is running")

	status, _, errs = s.run("kill", "one")
	assert.Zero(t, status, errs)
	cmd.Wait()
	assert.Equal(t, 125, cmd.ProcessState.ExitCode())
	status, _, errs = s.run("kill", "one")
	assert.Equal(t, 125, status)
	assert.Contains(t, errs, `no sandbox named "one"`)
	assert.Empty(t, harness.Entries(t, s.state))
}

func TestKillWithTermAndUsr1(t *testing.T) {
	s := newShell(t)
	for _, sig := range []string{"TERM", "SIGTERM", "15"} {
		cmd, _ := s.begin("run", "--name", "x", "--root", s.root, "--", "sh", "-c", "trap 'exit 4' TERM; echo up; while :; do sleep 0.02; done")
		status, _, errs := s.run("kill", "-s", sig, "x")
		require.Zero(t, status, errs)
		cmd.Wait()
		assert.Equal(t, 4, cmd.ProcessState.ExitCode(), "its program may say goodbye")
	}
	cmd, _ := s.begin("run", "--name", "x", "--root", s.root, "--", "sh", "-c", "echo up; while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 6")
	status, _, errs := s.run("exec", "x", "touch", "/tmp/almost")
	require.Zero(t, status, errs)
	helper, _ := s.begin("exec", "x", "--", "sh", "-c", "echo up; sleep 1; touch /tmp/go")
	status, _, errs = s.run("kill", "-s", "USR1", "x")
	require.Zero(t, status, errs)
	status, _, errs = s.run("exec", "x", "true")
	assert.Equal(t, 125, status, "no new programs")
	assert.Contains(t, errs, "draining")
	helper.Wait()
	cmd.Wait()
	assert.Equal(t, 6, cmd.ProcessState.ExitCode(), "the running ones finish")
}

func TestMemoryLimitIsNamed(t *testing.T) {
	s := newShell(t)
	status, _, errs := s.run("run", "--memory", "96M", "--root", s.root, "--", "sh", "-c", `x=0123456789abcdef; while :; do x="$x$x"; done`)
	assert.Equal(t, 125, status)
	assert.Contains(t, errs, "--memory")
}

// Killed itself, msb takes its sandbox along.
func TestKilledCommandLeavesNothing(t *testing.T) {
	s := newShell(t)
	cmd, _ := s.begin("run", "--root", s.root, "--", "sh", "-c", "echo up; while :; do sleep 0.02; done")
	tree := harness.Tree(t, cmd.Process.Pid)
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()
	harness.Gone(t, tree, 10*time.Second)
	assert.Empty(t, harness.Entries(t, s.state))
}
