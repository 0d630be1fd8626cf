package cgroup

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// made makes a group here, or skips naming what this machine does not allow.
func made(t *testing.T, controller string, l Limits) *Group {
	t.Helper()
	host, err := Look()
	require.NoError(t, err)
	place := host.Find(controller)
	if place.Version == 0 {
		t.Skipf("needs a control group with the %s controller that may be written: %s", controller, place.Why)
	}
	memory, cpu := place, Place{}
	if controller == CPU {
		memory, cpu = Place{}, place
	}
	g, err := Make(memory, cpu, Name("test", fmt.Sprint(os.Getpid())), l)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, g.Remove()) })
	return g
}

// background is a script that waits for a word.
type background struct {
	cmd *exec.Cmd
	in  io.WriteCloser
}

func start(t *testing.T, script string) background {
	t.Helper()
	b := background{cmd: exec.Command("sh", "-c", "sleep 1000 & echo begun; read line; kill $!; "+script)}
	var err error
	b.in, err = b.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := b.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, b.cmd.Start())
	t.Cleanup(func() {
		b.goOn()
		b.cmd.Process.Kill()
		b.cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "begun\n", line)
	return b
}

func (b background) goOn() {
	io.WriteString(b.in, "go\n")
	b.in.Close()
}

func TestAttachTakesChildrenAlong(t *testing.T) {
	g := made(t, Memory, Limits{MemoryBytes: 64 << 20})
	b := start(t, "")
	require.NoError(t, g.Attach(b.cmd.Process.Pid))
	dir := Dirs(g.memory, g.cpu, g.name)[0]
	text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	require.NoError(t, err)
	inside := strings.Fields(string(text))
	assert.Len(t, inside, 2, "the shell and its child")
	assert.Contains(t, inside, fmt.Sprint(b.cmd.Process.Pid))
	assert.NotContains(t, inside, fmt.Sprint(os.Getpid()))
	assert.ErrorIs(t, RemoveEmpty(dir), unix.EBUSY)
	assert.Contains(t, Left("test"), dir)
	memory, _ := g.Notes()
	assert.Contains(t, memory, fmt.Sprint(64<<20))
	assert.False(t, g.Killed())
	b.goOn()
	require.NoError(t, b.cmd.Wait())
	require.NoError(t, g.Remove())
	assert.NotContains(t, Left("test"), dir)
	assert.Error(t, g.Attach(os.Getpid()), "the group is gone")
}

func TestMemoryIsNoticed(t *testing.T) {
	g := made(t, Memory, Limits{MemoryBytes: 16 << 20})
	b := start(t, "x=$(head -c 100000000 /dev/zero | tr '\\0' x)")
	require.NoError(t, g.Attach(b.cmd.Process.Pid))
	b.goOn()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.cmd.Wait()
	}()
	select {
	case <-g.OutOfMemory(): // stopped, as version 1 does
		for _, pid := range append(descendants(b.cmd.Process.Pid), b.cmd.Process.Pid) {
			unix.Kill(pid, unix.SIGKILL)
		}
	case <-ended: // killed
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came of 100 MB in a group of 16 MiB")
	}
	<-ended
	assert.True(t, g.Killed())
}

// A quota holds, and the same work without one does not take as long.
func TestProcessorQuota(t *testing.T) {
	const script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
	free := start(t, script)
	begin := time.Now()
	free.goOn()
	require.NoError(t, free.cmd.Wait())
	alone := time.Since(begin)

	g := made(t, CPU, Limits{CPUPermille: 100, CPUWeight: 50})
	held := start(t, script)
	require.NoError(t, g.Attach(held.cmd.Process.Pid))
	begin = time.Now()
	held.goOn()
	require.NoError(t, held.cmd.Wait())
	used := held.cmd.ProcessState.UserTime() + held.cmd.ProcessState.SystemTime()
	assert.Greater(t, time.Since(begin), 3*used, "a tenth of a processor; without a quota %v", alone)
	_, cpu := g.Notes()
	assert.Contains(t, cpu, "cgroup v")
}
