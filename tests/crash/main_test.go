// Package crash kills owners, supervisors and engines with SIGKILL and looks for
// what is left: nothing must be, at once or after the next look at the state
// directory.
package crash

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// promised is how long the end may take after the owner's death: the grace of
// these sandboxes, and time for a busy machine.
const (
	grace    = 300 * time.Millisecond
	promised = 10 * time.Second
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == store.SuperviseCommand {
		supervise()
	}
	if os.Getenv("MSB_CRASH_OWNER") != "" {
		own()
	}
	harness.Main(m)
}

// own is a host program: it creates a sandbox, says so, and waits for its death.
func own() {
	fmt.Println("begin", 0)
	o := core.Options{
		Name: os.Getenv("MSB_CRASH_NAME"), MsbPath: os.Getenv("MSB_CRASH_MSB"), StopGrace: grace,
		State: core.State{Dir: os.Getenv("MSB_CRASH_STATE")},
		Root:  image.Root{Kind: image.Dir, Path: os.Getenv("MSB_CRASH_ROOT")},
	}
	if kernel := os.Getenv("MSB_CRASH_KERNEL"); kernel != "" {
		o.KernelPath, o.Root.Kind, o.StartTimeout = kernel, image.EROFS, 2*time.Minute
		o.Engine = core.EngineQEMU
		if os.Getenv("MSB_TEST_ENGINE") == core.EngineTCG.String() {
			o.Engine = core.EngineTCG
		}
	}
	sb, err := harness.Begin(o)
	if err == nil {
		<-sb.Ready()
		err = sb.StartErr()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if os.Getenv("MSB_CRASH_OWNER") == "forked" {
		fork()
	}
	fmt.Println("ready", sb.Pid())
	select {
	case <-sb.Done():
		fmt.Println("done", sb.Outcome().Cause)
	case <-time.After(5 * time.Minute):
	}
	os.Exit(0)
}

// fork makes a child with copies of all our descriptors, close-on-exec ones too,
// that does nothing. Only raw system calls work in it.
func fork() {
	pid, _, errno := syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
	if errno != 0 {
		fmt.Fprintln(os.Stderr, "fork:", errno)
		os.Exit(1)
	}
	for pid == 0 {
		syscall.RawSyscall(syscall.SYS_PPOLL, 0, 0, 0) // until it is killed
	}
	fmt.Println("forked", pid)
}

// owner is a host program in a process of its own.
type owner struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	state core.State
	name  string
}

func start(t *testing.T, mode string, state core.State) *owner {
	t.Helper()
	o := &owner{t: t, cmd: exec.Command(os.Args[0]), state: state, name: fmt.Sprintf("crash-%d", time.Now().UnixNano())}
	o.cmd.Env = append(os.Environ(), "MSB_CRASH_OWNER="+mode, "MSB_CRASH_NAME="+o.name, "MSB_CRASH_MSB="+harness.Binary(t),
		"MSB_CRASH_STATE="+state.Dir)
	if harness.Virtual(t) {
		o.cmd.Env = append(o.cmd.Env, "MSB_CRASH_ROOT="+harness.Root(t).Path, "MSB_CRASH_KERNEL="+harness.Kernel(t))
	} else {
		o.cmd.Env = append(o.cmd.Env, "MSB_CRASH_ROOT="+harness.DirRoot(t).Path)
	}
	o.cmd.Stderr = os.Stderr
	out, err := o.cmd.StdoutPipe()
	require.NoError(t, err)
	o.lines = bufio.NewScanner(out)
	require.NoError(t, o.cmd.Start())
	t.Cleanup(func() {
		o.cmd.Process.Kill()
		o.cmd.Wait()
	})
	o.expect("begin")
	return o
}

// expect reads a line and returns its number.
func (o *owner) expect(what string) int {
	o.t.Helper()
	require.True(o.t, o.lines.Scan(), "the owner ended before it said %q", what)
	var word string
	var number int
	_, err := fmt.Sscan(o.lines.Text(), &word, &number)
	require.NoError(o.t, err, o.lines.Text())
	require.Equal(o.t, what, word)
	return number
}

// kill kills the owner and reaps it.
func (o *owner) kill() {
	o.t.Helper()
	require.NoError(o.t, o.cmd.Process.Kill())
	o.cmd.Wait()
}

// tree is everything below the owner.
func (o *owner) tree() []store.Process { return harness.Tree(o.t, o.cmd.Process.Pid)[1:] }

func newState(t *testing.T) core.State {
	return core.State{Dir: filepath.Join(t.TempDir(), "state")}
}

// list looks at the state directory, which sweeps it.
func list(t *testing.T, state core.State) []core.Entry {
	t.Helper()
	entries, err := core.List(state, core.ListOptions{})
	require.NoError(t, err)
	return entries
}

func signal(t *testing.T, pid int, sig unix.Signal) {
	t.Helper()
	require.NoError(t, unix.Kill(pid, sig))
}

// stopped reports whether a process is stopped, with all its threads.
func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false
	}
	for _, thread := range threads {
		data, err := os.ReadFile(thread)
		if err == nil && !strings.Contains(string(data), ") T ") {
			return false
		}
	}
	return true
}
