package matrix

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/process"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

var serial atomic.Int64

// uniqueName is in no other process's command line.
func uniqueName() string { return fmt.Sprintf("matrix-%d-%d", os.Getpid(), serial.Add(1)) }

// owner is a host program in a process of its own: see owner/main.go.
type owner struct {
	t        testing.TB
	cmd      *exec.Cmd
	in       io.WriteCloser
	lines    chan string
	log      *os.File
	terminal *os.File // its master; nil without one
	o        core.Options
}

func newOwner(t testing.TB, o core.Options, attr ...func(*exec.Cmd)) *owner {
	t.Helper()
	own := &owner{t: t, cmd: exec.Command(built(t, "matrix-owner")), lines: make(chan string, 64), o: o}
	for _, change := range attr {
		change(own.cmd)
	}
	log, err := os.CreateTemp(t.TempDir(), "owner")
	require.NoError(t, err)
	own.log, own.cmd.Stderr = log, log
	own.in, err = own.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := own.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, own.cmd.Start())
	go func() {
		for scan := bufio.NewScanner(out); scan.Scan(); {
			own.lines <- scan.Text()
		}
		close(own.lines)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("the owner's errors: %s", said)
		}
		own.kill()
		log.Close()
		own.endLeftOver()
	})
	return own
}

// endLeftOver ends what a test has left on purpose, or since it failed.
func (o *owner) endLeftOver() {
	for deadline := time.Now().Add(busy); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		left := supervisors(o.o.Name)
		if len(left) == 0 {
			return
		}
		for _, p := range left {
			if stateOf(p.Pid) == "T" || o.o.Detached {
				unix.Kill(p.Pid, unix.SIGKILL)
			}
		}
	}
}

// send gives the owner a line; a dead one does not care.
func (o *owner) send(line string) { io.WriteString(o.in, line+"\n") }

func (o *owner) sendJSON(verb string, v any) {
	o.t.Helper()
	data, err := json.Marshal(v)
	require.NoError(o.t, err)
	o.send(verb + " " + string(data))
}

// expect skips lines until one begins with the word, and returns its number.
func (o *owner) expect(word string, within time.Duration) int {
	o.t.Helper()
	timer := time.NewTimer(within)
	defer timer.Stop()
	var seen []string
	for {
		select {
		case line, ok := <-o.lines:
			if !ok {
				o.t.Fatalf("the owner ended before it said %q; it said %q", word, seen)
			}
			seen = append(seen, line)
			var got string
			var number int
			_, err := fmt.Sscan(line, &got, &number)
			require.NoError(o.t, err, line)
			if got == word {
				return number
			}
		case <-timer.C:
			o.t.Fatalf("the owner did not say %q within %v; it said %q", word, within, seen)
		}
	}
}

func (o *owner) pid() int { return o.cmd.Process.Pid }

// kill kills the owner and reaps it. Idempotent.
func (o *owner) kill() {
	o.cmd.Process.Kill()
	for range o.lines {
	}
	o.cmd.Wait()
}

// ended waits for the owner's own end and returns the signal that caused it, or 0.
func (o *owner) ended() unix.Signal {
	for range o.lines {
	}
	o.cmd.Wait()
	status := o.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return status.Signal()
	}
	return 0
}

// create makes the sandbox and waits for it.
func (o *owner) create() {
	o.t.Helper()
	o.sendJSON("create", o.o)
	require.Zero(o.t, o.expect("ready", startTimeout+busy))
}

// supervisor is the sandbox's supervisor among the processes of this machine.
func (o *owner) supervisor() store.Process {
	o.t.Helper()
	found := supervisors(o.o.Name)
	require.Len(o.t, found, 1, "one supervisor of %s", o.o.Name)
	return found[0]
}

// supervisors finds those of a name by their command lines. A supervisor's child has
// the same until it executes an engine: it is none.
func supervisors(name string) []store.Process {
	var found []store.Process
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		data, _ := os.ReadFile(file)
		argv := strings.Split(string(data), "\x00")
		if len(argv) > 2 && argv[1] == "supervise" && argv[2] == "--name="+name {
			var pid int
			fmt.Sscanf(file, "/proc/%d/", &pid)
			if p, err := process.Of(pid); err == nil {
				found = append(found, p)
			}
		}
	}
	var children []store.Process
	for _, p := range found {
		children = append(children, store.Children(p.Pid)...)
	}
	return slices.DeleteFunc(found, func(p store.Process) bool { return slices.Contains(children, p) })
}

// stopped waits until all of a process is stopped.
func stopped(t testing.TB, pid int) {
	t.Helper()
	require.Eventually(t, func() bool { return stateOf(pid) == "T" }, busy, time.Millisecond, "process %d is %q", pid, stateOf(pid))
}

// stateOf is the letter of a process's state.
func stateOf(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}

func signal(t testing.TB, pid int, sig unix.Signal) {
	t.Helper()
	require.NoError(t, unix.Kill(pid, sig), "signal %v to %d", sig, pid)
}

// arm sets the failpoint of a state directory.
func arm(t testing.TB, o core.Options, step, action string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(o.State.Dir, 0o700))
	require.NoError(t, os.WriteFile(failpointFile(o), []byte(step+" "+action+"\n"), 0o600))
}

func failpointFile(o core.Options) string { return filepath.Join(o.State.Dir, "failpoint") }

// reached waits until a process has come to the step.
func reached(t testing.TB, o core.Options) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, err := os.Stat(failpointFile(o) + ".reached")
		return err == nil
	}, startTimeout+busy, time.Millisecond, "the step is never reached")
}

// tree is everything that lives below the owner, and the supervisor's.
func (o *owner) tree() []store.Process {
	o.t.Helper()
	var all []store.Process
	for _, p := range supervisors(o.o.Name) {
		all = append(all, harness.Tree(o.t, p.Pid)...)
	}
	return all
}
