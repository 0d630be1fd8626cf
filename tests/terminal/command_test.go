package terminal

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/terminal"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// command is msb on a terminal of its own.
type command struct {
	*screen
	cmd    *exec.Cmd
	slave  *os.File // ours, to look at the terminal's state
	before unix.Termios
	state  string
	ended  chan error
}

// msb runs it as a shell would: it leads the terminal's foreground.
func msb(t *testing.T, state string, args ...string) *command {
	t.Helper()
	master, slave, err := terminal.Open(terminal.Size{Rows: 30, Cols: 100})
	require.NoError(t, err)
	c := &command{screen: newScreen(t, master), slave: os.NewFile(uintptr(slave), "slave"), state: state, ended: make(chan error, 1)}
	t.Cleanup(func() { c.slave.Close() })
	before, err := unix.IoctlGetTermios(slave, unix.TCGETS)
	require.NoError(t, err)
	c.before = *before
	c.cmd = exec.Command(harness.Binary(t), args...)
	c.cmd.Env = append(os.Environ(), "MSB_HOME="+state, "TERM=xterm")
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = c.slave, c.slave, c.slave
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, c.cmd.Start())
	go func() { c.ended <- c.cmd.Wait() }()
	t.Cleanup(func() { c.cmd.Process.Kill() })
	return c
}

func (c *command) mode() unix.Termios {
	c.t.Helper()
	mode, err := unix.IoctlGetTermios(int(c.slave.Fd()), unix.TCGETS)
	require.NoError(c.t, err)
	return *mode
}

func (c *command) raw() bool { return c.mode().Lflag&(unix.ICANON|unix.ISIG|unix.ECHO) == 0 }

// becomesRaw waits until msb has the terminal.
func (c *command) becomesRaw() {
	c.t.Helper()
	require.Eventually(c.t, c.raw, harness.Limit, tick)
}

// exits waits for msb's end and requires that the terminal is as it was.
func (c *command) exits(code int) {
	c.t.Helper()
	done := make(chan struct{})
	go func() { <-c.ended; close(done) }()
	harness.Wait(c.t, done, "the end of msb")
	assert.Equal(c.t, code, c.cmd.ProcessState.ExitCode(), "%q", c.text())
	assert.Equal(c.t, c.before, c.mode(), "the terminal is not as it was")
	harness.Swept(c.t, c.state)
}

func (c *command) signal(sig syscall.Signal) {
	c.t.Helper()
	require.NoError(c.t, c.cmd.Process.Signal(sig))
}

// process reads the state of msb: R, S, T, ...
func (c *command) process() string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(data), ") ")
	return rest[:min(1, len(rest))]
}

func TestRunOnATerminal(t *testing.T) {
	c := msb(t, t.TempDir(), "run", "-it", "--env", "PS1=ready> ", "--", "bash", "--norc", "-i")
	c.expect("ready> ")
	assert.True(t, c.raw())
	c.keys("stty size; echo $TERM\r")
	c.expect("30 100\r\nxterm\r\n")
	// Before each prompt readline reads the size and writes it back: one that comes in
	// between is lost, on any terminal.
	c.expect("ready> ")
	require.NoError(t, terminal.Size{Rows: 44, Cols: 66}.SetFile(c.master))
	c.keys("trap : WINCH; until stty size | grep '44 66'; do sleep 0.05; done; echo up-$((40+2))\r")
	c.expect("up-42")
	c.keys(reader + "\r")
	c.expect("up-42")
	c.keys(ctrlZ)
	c.expect("Stopped")
	c.keys("kill %1; " + reader + "\r")
	c.expect("up-42")
	c.keys(ctrlC)
	c.expect("ready> ")
	c.keys("exit 9\r")
	c.exits(9)
}

func TestExecOnATerminal(t *testing.T) {
	o := hostRoot(t)
	o.State.Dir = filepath.Join(t.TempDir(), "msb") // which MSB_HOME names
	sb := harness.Create(t, o)
	c := msb(t, o.State.Dir, "exec", "-t", sb.Name(), "--", "sh", "-c", "stty size; read line; echo got-$line; exit 6")
	c.expect("30 100\r\n")
	c.becomesRaw()
	c.keys("abc\r")
	c.expect("got-abc\r\n")
	done := make(chan struct{})
	go func() { <-c.ended; close(done) }()
	harness.Wait(t, done, "the end of msb")
	assert.Equal(t, 6, c.cmd.ProcessState.ExitCode())
	assert.Equal(t, c.before, c.mode())
}

// Whatever ends it, the terminal is restored.
func TestTerminalIsRestored(t *testing.T) {
	ends := map[string]struct {
		end  func(t *testing.T, c *command)
		code int
	}{
		"exit":    {func(t *testing.T, c *command) { c.keys("exit 3\r") }, 3},
		"TERM":    {func(t *testing.T, c *command) { c.signal(syscall.SIGTERM) }, 128 + 15},
		"HUP":     {func(t *testing.T, c *command) { c.signal(syscall.SIGHUP) }, 128 + 1},
		"INT":     {func(t *testing.T, c *command) { c.signal(syscall.SIGINT) }, 128 + 2},
		"QUIT":    {func(t *testing.T, c *command) { c.signal(syscall.SIGQUIT) }, 128 + 3},
		"program": {func(t *testing.T, c *command) { c.keys("kill -9 $$\r") }, 128 + 9},
		"supervisor": {func(t *testing.T, c *command) {
			require.NoError(t, unix.Kill(c.supervisor(), unix.SIGKILL))
		}, 125},
		"msb kill": {func(t *testing.T, c *command) { c.other("kill", "terminal") }, 125},
		"msb stop": {func(t *testing.T, c *command) { c.other("stop", "--grace", "100ms", "terminal") }, 125},
	}
	for name, by := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := msb(t, t.TempDir(), "run", "-t", "--name", "terminal", "--env", "PS1=ready> ", "--", "bash", "--norc", "-i")
			c.expect("ready> ")
			require.True(t, c.raw())
			by.end(t, c)
			c.exits(by.code)
		})
	}
}

func (c *command) supervisor() int {
	c.t.Helper()
	tree := harness.Tree(c.t, c.cmd.Process.Pid)
	require.Greater(c.t, len(tree), 1)
	return tree[1].Pid
}

func (c *command) other(args ...string) {
	c.t.Helper()
	cmd := exec.Command(harness.Binary(c.t), args...)
	cmd.Env = append(os.Environ(), "MSB_HOME="+c.state)
	out, err := cmd.CombinedOutput()
	require.NoError(c.t, err, "%s", out)
}

// Stopped, however, and continued: the terminal is msb's only while it runs.
func TestStopAndContinue(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTSTP, syscall.SIGSTOP} {
		t.Run(sig.String(), func(t *testing.T) {
			c := msb(t, t.TempDir(), "run", "-t", "--env", "PS1=ready> ", "--", "bash", "--norc", "-i")
			c.expect("ready> ")
			if sig == syscall.SIGTSTP {
				c.signal(sig)
				require.Eventually(t, func() bool { return c.process() == "T" }, harness.Limit, tick)
				assert.Equal(t, c.before, c.mode(), "who runs meanwhile finds the terminal as it was")
			} else {
				c.signal(sig)
				require.Eventually(t, func() bool { return c.process() == "T" }, harness.Limit, tick)
				// As a shell does when one of its jobs stops.
				require.NoError(t, unix.IoctlSetTermios(int(c.slave.Fd()), unix.TCSETS, &c.before))
			}
			c.signal(syscall.SIGCONT)
			c.becomesRaw()
			c.keys("echo up-$((40+2))\r")
			c.expect("up-42")
			c.keys("exit 0\r")
			c.exits(0)
		})
	}
}

// The hang-up of msb's own terminal is that of the program's.
func TestHangUpOfMsb(t *testing.T) {
	c := msb(t, t.TempDir(), "run", "-t", "--", "sh", "-c", "echo up; sleep 1000")
	c.expect("up")
	tree := harness.Tree(t, c.cmd.Process.Pid)
	c.hangUp()
	harness.Gone(t, tree, harness.Limit)
	harness.Swept(t, c.state)
}

// Killed, it cannot restore its terminal; but nothing else is left.
func TestKilledMsbLeavesNoProgram(t *testing.T) {
	c := msb(t, t.TempDir(), "run", "-t", "--", "sh", "-c", "echo up; sleep 1000")
	c.expect("up")
	tree := harness.Tree(t, c.cmd.Process.Pid)
	c.signal(syscall.SIGKILL)
	harness.Gone(t, tree, harness.Limit)
}

func TestTerminalIsRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"standard input is not a terminal": {"run", "-t", "--", "true"},
	} {
		cmd := exec.Command(harness.Binary(t), args...)
		cmd.Env = append(os.Environ(), "MSB_HOME="+t.TempDir())
		out, _ := cmd.CombinedOutput()
		assert.Equal(t, 2, cmd.ProcessState.ExitCode())
		assert.Contains(t, string(out), want)
	}
	for want, args := range map[string][]string{
		"with --detach nobody": {"run", "-t", "--detach", "--", "true"},
		"with --log":           {"run", "-t", "--log", "--", "true"},
		"no sandbox named":     {"exec", "-t", "nobody", "--", "true"},
	} {
		c := msb(t, t.TempDir(), args...)
		require.Error(t, <-c.ended)
		c.expect(want)
		assert.Equal(t, c.before, c.mode())
	}
}
