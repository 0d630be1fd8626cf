//go:build linux

package store

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/process"
)

// impostor is a process with a supervisor's command line that does nothing more
// than the step.
func impostor(t *testing.T, step string, root *Root, labels []string) Process {
	t.Helper()
	cmd := actor(step, root.Path(), "a")
	cmd.Args = append([]string{"msb", SuperviseCommand, "--name=a"}, labels...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	_, err = out.Read(make([]byte, 8)) // it has come to the step
	require.NoError(t, err)
	p, err := process.Of(cmd.Process.Pid)
	require.NoError(t, err)
	return p
}

const nobody = 1 << 30 // no process has such an id

func silent(int, time.Duration) bool { return false }

func TestSupervisorWithoutRecordAndOwnerIsEnded(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	p := impostor(t, "unnamed", root, Labels(root.Path(), nobody))
	findings, err := root.Audit()
	require.NoError(t, err)
	require.Len(t, findings, 1)
	assert.True(t, findings[0].Orphan, "%v", findings)
	begin := time.Now()
	root.KillWedged(silent)
	assert.False(t, p.Alive())
	assert.GreaterOrEqual(t, time.Since(begin), pingLimit, "it had its time")
}

func TestSupervisorsThatAreNotLost(t *testing.T) {
	t.Parallel()
	root, other := newRoot(t), newRoot(t)
	for name, p := range map[string]Process{
		"its owner lives":  impostor(t, "unnamed", root, Labels(root.Path(), os.Getpid())),
		"another root's":   impostor(t, "unnamed", root, Labels(other.Path(), nobody)),
		"a record has it":  impostor(t, "hold", root, Labels(root.Path(), nobody)),
		"no labels at all": impostor(t, "unnamed", root, nil),
	} {
		assert.Empty(t, root.lost(), name)
		root.KillWedged(silent)
		assert.True(t, p.Alive(), name)
	}
}

// A supervisor's child has its command line and a session of its own until it
// executes an engine.
func TestChildOfSupervisorIsNotLost(t *testing.T) {
	t.Parallel()
	root := newRoot(t)
	owned := impostor(t, "forked", root, Labels(root.Path(), os.Getpid()))
	children := Children(owned.Pid)
	require.Len(t, children, 1)
	assert.Empty(t, root.lost())
	begin := time.Now()
	root.KillWedged(silent)
	assert.Less(t, time.Since(begin), pingLimit, "it waited for the child")
	assert.True(t, children[0].Alive())

	other := newRoot(t)
	orphan := impostor(t, "forked", other, Labels(other.Path(), nobody))
	assert.Equal(t, []Process{orphan}, other.lost())
}

// What the look at every process of the machine costs.
func BenchmarkLost(b *testing.B) {
	root, err := OpenRoot(b.TempDir())
	require.NoError(b, err)
	defer root.Close()
	procs, err := os.ReadDir("/proc")
	require.NoError(b, err)
	for b.Loop() {
		assert.Empty(b, root.lost())
	}
	b.ReportMetric(float64(len(procs)), "entries")
}
