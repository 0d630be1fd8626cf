// Package subprocess has what tests of single packages share that need another
// process: one that says a line when it has come so far, one of another user, one
// that may mount. It imports nothing of ours.
package subprocess

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Nobody is the uid and gid of an unprivileged user.
const Nobody = 65534

// Child is a running process.
type Child struct {
	*exec.Cmd
	Stdin io.WriteCloser
	Said  string // its first line, without the newline; "" when it ended before
}

// Start starts a process and returns once it has said a line, or ended. It is killed
// when the test ends, and dies with it.
func Start(t testing.TB, cmd *exec.Cmd) *Child {
	t.Helper()
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if cmd.Stderr == nil {
		cmd.Stderr = os.Stderr
	}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c := &Child{Cmd: cmd, Stdin: in}
	t.Cleanup(c.Kill)
	line, _ := bufio.NewReader(out).ReadString('\n')
	c.Said = strings.TrimSuffix(line, "\n")
	return c
}

// Pid is its process id.
func (c *Child) Pid() int { return c.Process.Pid }

// Kill ends it by SIGKILL and waits until it is gone. Idempotent.
func (c *Child) Kill() {
	c.Process.Kill()
	c.Wait()
}

// AgainAsNobody runs all other tests of this binary again, as an unprivileged user.
// It is for a test of its own; without root that is skipped.
func AgainAsNobody(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become another user")
	}
	dir, err := os.MkdirTemp("", "nobody-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chown(dir, Nobody, Nobody))
	cmd := exec.Command("/proc/self/exe", "-test.count=1", "-test.skip="+t.Name())
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: Nobody, Gid: Nobody}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// MayMount is for a process with a mount namespace of its own, in which it is root.
func MayMount(t *testing.T) *syscall.SysProcAttr {
	t.Helper()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	probe := exec.Command("/bin/true")
	probe.SysProcAttr = attr
	if err := probe.Run(); err != nil {
		t.Skip("needs a mount namespace:", err)
	}
	return attr
}
