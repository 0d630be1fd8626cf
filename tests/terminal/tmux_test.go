package terminal

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// tmux is a terminal emulator: it understands what programs draw.
type tmux struct {
	t      *testing.T
	socket string
}

// inTmux starts msb under a shell in a new tmux.
func inTmux(t *testing.T, state string) *tmux {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("needs tmux: see tools/install-deps test")
	}
	x := &tmux{t, filepath.Join(t.TempDir(), "tmux")}
	cmd := x.command("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "env", "PS1=host>", "MSB_HOME="+state, "bash", "--norc", "--noprofile", "-i")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Cleanup(func() { x.command("kill-server").Run() })
	x.shows("host>")
	return x
}

func (x *tmux) command(args ...string) *exec.Cmd {
	cmd := exec.Command("tmux", append([]string{"-S", x.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	return cmd
}

func (x *tmux) do(args ...string) string {
	x.t.Helper()
	out, err := x.command(args...).CombinedOutput()
	require.NoError(x.t, err, "tmux %v: %s", args, out)
	return string(out)
}

// types presses keys by tmux's names, and text literally.
func (x *tmux) types(keys ...string) { x.t.Helper(); x.do(append([]string{"send-keys"}, keys...)...) }

func (x *tmux) screen() string { x.t.Helper(); return x.do("capture-pane", "-p") }

// shows waits until the screen shows a text.
func (x *tmux) shows(want string) {
	x.t.Helper()
	require.EventuallyWithT(x.t, func(c *assert.CollectT) { assert.Contains(c, x.screen(), want) }, harness.Limit, 4*tick)
}

// repeats types again until the screen shows a text: a new size comes when it comes.
func (x *tmux) repeats(want string, keys ...string) {
	x.t.Helper()
	require.EventuallyWithT(x.t, func(c *assert.CollectT) {
		x.types(keys...)
		assert.Contains(c, x.screen(), want)
	}, harness.Limit, 40*tick)
}

// leaves ends the guest's shell and waits for the prompt of the host's.
func (x *tmux) leaves(code string) {
	x.t.Helper()
	x.types("clear; jobs; echo end-$((40+2))", "Enter")
	x.shows("end-42")
	x.types("exit "+code, "Enter")
	x.shows("host>")
}

func (x *tmux) guest(args string) {
	x.t.Helper()
	x.types("clear; "+harness.Binary(x.t)+" run -t --env 'PS1=guest-$((40+2))>' "+args+" -- bash --norc -i", "Enter")
	x.shows("guest-42>")
}

// Programs that draw, as a person uses them.
func TestEditorAndPagerInTmux(t *testing.T) {
	state := t.TempDir()
	x := inTmux(t, state)
	x.guest("")
	x.types("vi -u NONE -N /tmp/note", "Enter")
	x.shows("~\n~\n~")
	x.types("i", "written here", "Escape", ":set nu", "Enter")
	x.shows("1 written here")
	x.do("resize-window", "-x", "60", "-y", "12")
	x.repeats("size12x60", ":echo 'size'.&lines.'x'.&columns", "Enter")
	x.types("C-z")
	x.shows("Stopped")
	x.types("fg", "Enter")
	x.shows("1 written here")
	x.types(":wq", "Enter")
	x.shows("guest-42>")
	x.types("clear; cat /tmp/note; seq 100 | less", "Enter")
	x.shows("\n5\n6\n")
	x.types("G")
	x.shows("\n100\n")
	x.types("q")
	x.shows("guest-42>")
	x.leaves("4")
	x.types("echo code=$?; stty -a | grep -o '[ -]icanon'", "Enter")
	x.shows("code=4\n icanon")
	assert.NotContains(t, x.screen(), "-icanon")
	harness.Swept(t, state)
}

// msb is a job of the shell on the host, too.
func TestMsbIsAJobOfItsShell(t *testing.T) {
	state := t.TempDir()
	x := inTmux(t, state)
	x.guest("--name job")
	x.types("echo in-$((40+2))", "Enter")
	x.shows("in-42")
	// Ctrl-Z is the guest's; from outside msb can be stopped.
	pid := strings.TrimSpace(x.do("display-message", "-p", "#{pane_pid}"))
	children, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	require.NoError(t, err)
	require.NoError(t, exec.Command("kill", "-TSTP", strings.Fields(string(children))[0]).Run())
	x.shows("Stopped")
	x.types("clear; echo out-$((40+2))", "Enter")
	x.shows("out-42")
	x.types("fg", "Enter")
	x.types("echo again-$((40+2))", "Enter")
	x.shows("again-42")
	x.leaves("0")
	x.types("clear; stty -a | grep -o ' icanon'", "Enter")
	x.shows(" icanon")
	harness.Swept(t, state)
}

// The window is closed: all ends.
func TestClosedWindowEndsAll(t *testing.T) {
	state := t.TempDir()
	x := inTmux(t, state)
	x.guest("")
	x.types("sh -c 'echo up-$((40+2)); sleep 1000'", "Enter")
	x.shows("up-42")
	x.do("kill-server")
	harness.Swept(t, state)
}
