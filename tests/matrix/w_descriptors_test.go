package matrix

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// descriptors are a process's open files by number.
func descriptors(t *testing.T, pid int) map[string]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	fds := map[string]string{}
	for _, e := range entries {
		if target, err := os.Readlink(dir + "/" + e.Name()); err == nil {
			fds[e.Name()] = target
		}
	}
	return fds
}

// closeOnExec reads the flag from outside.
func closeOnExec(t *testing.T, pid int, fd string) bool {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%s", pid, fd))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(data), "flags:")
	flags, err := strconv.ParseUint(strings.Fields(rest)[0], 8, 64)
	require.NoError(t, err)
	return flags&unix.O_CLOEXEC != 0
}

// settled are those of a sleeping process, which has closed what it opened to
// start.
func settled(t *testing.T, pid int) map[string]string {
	t.Helper()
	require.Eventually(t, func() bool {
		where, _ := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
		return strings.HasPrefix(string(where), strconv.Itoa(unix.SYS_CLOCK_NANOSLEEP)+" ")
	}, busy, time.Millisecond, "it does not sleep")
	return descriptors(t, pid)
}

func TestW10AnUnrelatedChildInheritsNothing(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.send("spawn")
	before := o.expect("spawn", busy)
	defer unix.Kill(before, unix.SIGKILL)
	inherited := settled(t, before) // what this test's own surroundings leave open
	occupied(o)
	o.send("spawn")
	child := o.expect("spawn", busy)
	defer unix.Kill(child, unix.SIGKILL)
	assert.Equal(t, inherited, settled(t, child), "with a sandbox no more than without")
	own := descriptors(t, o.pid())
	assert.Greater(t, len(own), len(inherited)+4, "the owner has some to give away")
	for fd, target := range own {
		if inherited[fd] == "" {
			assert.True(t, closeOnExec(t, o.pid(), fd), "descriptor %s, %s", fd, target)
		}
	}
}

// Every number that the supervisor uses for itself is taken in the host, and the
// numbers of the original, 96 to 98, too.
func TestW11DescriptorsOfTheHostAreNotOverwritten(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "mine"))
	require.NoError(t, err)
	defer file.Close()
	o := newOwner(t, options(t, uniqueName()), func(c *exec.Cmd) {
		for range 97 {
			c.ExtraFiles = append(c.ExtraFiles, file)
		}
	})
	occupied(o)
	own := descriptors(t, o.pid())
	for fd := 3; fd < 100; fd++ {
		assert.Equal(t, file.Name(), own[strconv.Itoa(fd)], "descriptor %d", fd)
	}
	for _, p := range o.tree() {
		for fd, target := range descriptors(t, p.Pid) {
			assert.NotEqual(t, file.Name(), target, "descriptor %s of process %d", fd, p.Pid)
		}
	}
	o.send("close")
	o.expect("done", busy)
	nothing(t, o.o, nil, time.Second)
}

// What a program gets in its environment is on no disk, in no command line, and
// in no environment of the host's.
func TestW15SecretsTouchNoDiskAndNoCommandLine(t *testing.T) {
	t.Parallel()
	const secret = "correct-horse-battery-staple"
	o := options(t, uniqueName())
	sb := harness.Create(t, o)
	p := harness.Start(t, sb, core.ProcessOptions{
		Argv: []string{"sh", "-c", "printf %s \"$TOKEN\"; cat"}, Env: []string{"TOKEN=" + secret},
		Stdio: [3]core.Stdio{harness.Pipe, harness.Pipe, harness.Null},
	}).Running()
	p.Line(secret)
	require.NoError(t, filepath.WalkDir(o.State.Dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			data, _ := os.ReadFile(path)
			assert.False(t, bytes.Contains(data, []byte(secret)), path)
		}
		return nil
	}))
	for _, process := range harness.Tree(t, int(sb.Pid())) {
		for _, name := range []string{"cmdline", "environ"} {
			data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", process.Pid, name))
			assert.False(t, bytes.Contains(data, []byte(secret)), "%s of %d", name, process.Pid)
		}
	}
}

// The configuration of the sandbox itself comes in a sealed memfd, and is closed.
func TestW15TheConfigurationIsAMemfd(t *testing.T) {
	t.Parallel()
	o := options(t, uniqueName())
	arm(t, o, "boot.begun", "stop")
	own := newOwner(t, o)
	creates(own)
	reached(t, o)
	for fd, target := range descriptors(t, own.supervisor().Pid) {
		if !strings.HasPrefix(target, "/memfd:") {
			assert.NotRegexp(t, "^/(tmp|var|home|run)", target, "descriptor %s", fd)
		}
	}
	require.NoError(t, filepath.WalkDir(o.State.Dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			data, _ := os.ReadFile(path)
			assert.NotContains(t, string(data), o.Root.Path, path)
		}
		return nil
	}))
}
