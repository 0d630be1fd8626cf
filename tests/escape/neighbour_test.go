package escape

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// Two sandboxes of the same user, in the same state directory, know nothing of
// each other. The control is a second program in the neighbour itself.
func TestNeighbour(t *testing.T) {
	path := probes(t)
	options := harness.Options(t)
	neighbour := harness.Create(t, options)
	sb := harness.Create(t, options)
	upload(t, neighbour, path)
	upload(t, sb, path)

	hold := func(args ...string) []string {
		p := harness.Start(t, neighbour, core.ProcessOptions{
			Argv: append([]string{guestProbes}, args...), Stdio: [3]core.Stdio{harness.Pipe, harness.Pipe, harness.Null},
		})
		return strings.Fields(line(t, p.Out))
	}
	const secret = "of the neighbour"
	// Enough processes that the victim's pid exists in no other sandbox.
	harness.Output(t, neighbour, "for i in $(seq 50); do /bin/true; done; echo -n '"+secret+"' > /tmp/secret; echo -n '"+secret+"' > /dev/shm/secret")
	victim := hold("victim", secret)
	require.Len(t, victim, 3)
	require.Contains(t, hold("shm_hold", "1234"), "reached:")
	require.Contains(t, hold("socket_serve", "@name", secret), "reached:")
	require.Contains(t, hold("socket_serve", "127.0.0.1:4321", secret), "reached:")

	for _, c := range []struct {
		args []string
		deny string
	}{
		{[]string{"file_read", "/tmp/secret", secret}, "read: ENOENT"},
		{[]string{"file_read", "/dev/shm/secret", secret}, "read: ENOENT"},
		{[]string{"shm_find", "1234"}, "shmget: ENOENT"},
		{[]string{"socket_unix", "@name", secret}, "connect: ECONNREFUSED"},
		{[]string{"socket_tcp", "127.0.0.1", "4321", secret}, "connect: ECONNREFUSED"},
		{[]string{"process_signal", victim[0]}, "kill: ESRCH"},
		{[]string{"process_trace", victim[0]}, "ptrace: ESRCH"},
		{[]string{"file_read", "/proc/" + victim[0] + "/environ", "PATH"}, "read: ENOENT"},
	} {
		assert.Regexp(t, "^denied: "+c.deny, string(inside(t, sb, c.args...)), "%q", c.args)
		assert.True(t, inside(t, neighbour, c.args...).reached(), "control: %q", c.args)
	}
	// Signals to everybody reach everybody in one sandbox.
	harness.Run(t, sb, "sh", "-c", "kill -9 -1")
	assert.True(t, inside(t, neighbour, "process_signal", victim[0]).reached(), "the victim lives")
}

func line(t testing.TB, r io.Reader) string {
	t.Helper()
	var text []byte
	for b := make([]byte, 1); ; {
		_, err := r.Read(b)
		require.NoError(t, err, string(text))
		if b[0] == '\n' {
			return string(text)
		}
		text = append(text, b[0])
	}
}

// No process of a sandbox holds what the host program let lie open or has in its
// environment; a child that the host starts without care holds both.
func TestProcessesOfASandboxInheritNothing(t *testing.T) {
	w := newWorld(t)
	sb := harness.New(t)
	tree := harness.Tree(t, int(sb.Pid()))
	require.Greater(t, len(tree), 1, "a supervisor and its engine")
	for _, p := range tree {
		dir := fmt.Sprintf("/proc/%d", p.Pid)
		assert.NotContains(t, links(dir+"/fd"), w.planted, dir)
		assert.NotContains(t, host(dir+"/environ"), w.secret, dir)
		assert.NotContains(t, host(dir+"/cmdline"), w.secret, dir)
	}
	child := childOf(w)
	held(t, child)
	dir := fmt.Sprintf("/proc/%d", child.Process.Pid)
	assert.Contains(t, links(dir+"/fd"), w.planted, "control")
	assert.Contains(t, host(dir+"/environ"), w.secret, "control")
}

func links(dir string) []string {
	var all []string
	names, _ := os.ReadDir(dir)
	for _, n := range names {
		target, _ := os.Readlink(filepath.Join(dir, n.Name()))
		all = append(all, target)
	}
	return all
}

// The running msb, its launcher in the guest and the guest's own programs: what a
// guest can make writable of these is its own.
func TestProgramsOfTheHostStayAsTheyAre(t *testing.T) {
	sb, path := box(t)
	before, err := os.ReadFile(harness.Binary(t))
	require.NoError(t, err)
	assert.Regexp(t, "^denied: ", string(inside(t, sb, "process_exe", "1")))
	harness.Run(t, sb, "sh", "-c", "cd /tmp && echo changed > /proc/1/exe; echo changed > /proc/self/exe")
	after, err := os.ReadFile(harness.Binary(t))
	require.NoError(t, err)
	assert.Equal(t, before, after)
	// The launcher works as before: a name that is not UTF-8 needs it.
	out, outcome := harness.Run(t, sb, guestProbes, "process_signal", "1", "\xff")
	assert.Contains(t, out, "reached", outcomeText(outcome))

	victim := startVictim(t, probes(t), "secret")
	assert.True(t, outside(path, "process_exe", victim.pid).reached(), "control: a program that has ended can be written")
}
