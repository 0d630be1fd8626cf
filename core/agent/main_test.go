package agent

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/guest"
	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
)

const testTimeout = 60 * time.Second

// guestCaps are those of the header: the ones of the engine gvisor's programs.
const guestCaps = 0x800405fb

// machine is an agent in namespaces of its own.
type machine struct {
	*Client
	cmd *exec.Cmd
}

func (m *machine) Start(ctx context.Context, p engine.Program) (engine.Process, error) {
	process, err := m.Client.Start(ctx, p)
	if err != nil {
		return nil, err
	}
	return process, nil
}

func (m *machine) SignalAll(sig syscall.Signal) error {
	return m.Client.SignalAll(context.Background(), sig)
}

func (m *machine) Usage(ctx context.Context) (engine.Usage, error) {
	u, err := m.Client.Usage(ctx)
	return engine.Usage{
		CPUTime: time.Duration(u.CPUTime), MemoryBytes: u.MemoryBytes, MemoryPeakBytes: u.MemoryPeak, OverlayBytes: u.OverlayBytes,
	}, err
}

func (m *machine) Receipt() []string   { return nil }
func (m *machine) Cause() engine.Cause { return engine.Closed }

// how are the ways to kill that can be tested here, best first.
func how(t testing.TB) []string {
	t.Helper()
	if os.Geteuid() == 0 && cgroup2(t) != "" {
		return []string{"cgroup", "freeze", "lineage"}
	}
	return []string{"lineage"}
}

// cgroup2 is where cgroup v2 is mounted, "" where it is not.
func cgroup2(t testing.TB) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	for _, line := range strings.Split(string(mounts), "\n") {
		if f := strings.Fields(line); len(f) > 3 && f[2] == "cgroup2" && strings.HasPrefix(f[3], "rw") {
			return f[1]
		}
	}
	return ""
}

// launch starts an agent, unconfigured.
func launch(t testing.TB, kill string) *machine {
	t.Helper()
	dir, err := os.MkdirTemp("", "msb-agent-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	exe := filepath.Join(dir, "agent")
	require.NoError(t, os.WriteFile(exe, guest.Agent, 0o755))
	ours, theirs := pair(t)
	cmd := exec.Command(exe)
	cmd.Env = []string{"MSB_AGENT_PORT=3", "MSB_AGENT_BASE=" + dir, "MSB_AGENT_KILL=" + kill}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = namespaces()
	if kill != "lineage" {
		group, remove := newCgroup(t)
		t.Cleanup(remove)
		cmd.ExtraFiles = append(cmd.ExtraFiles, group)
		cmd.Env = append(cmd.Env, "MSB_AGENT_CGROUP=4")
	}
	require.NoError(t, cmd.Start())
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	m := &machine{NewClient(ours, Options{Log: t.Logf}), cmd}
	t.Cleanup(func() {
		m.Close()
		cmd.Process.Kill()
		cmd.Wait()
	})
	return m
}

// pair is a stream with two ends, as QEMU's port is.
func pair(t testing.TB) (ours io.ReadWriteCloser, theirs *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	require.NoError(t, unix.SetNonblock(fds[0], true))
	return os.NewFile(uintptr(fds[0]), "port"), os.NewFile(uintptr(fds[1]), "guest port")
}

func namespaces() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET,
		Pdeathsig:  unix.SIGKILL,
	}
	if os.Geteuid() != 0 {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	return attr
}

func newCgroup(t testing.TB) (*os.File, func()) {
	t.Helper()
	var id [6]byte
	rand.Read(id[:])
	path := filepath.Join(cgroup2(t), "msb-agent-test-"+hex.EncodeToString(id[:]))
	require.NoError(t, os.Mkdir(path, 0o755))
	f, err := os.Open(path)
	require.NoError(t, err)
	return f, func() {
		groups, _ := filepath.Glob(path + "/p*")
		for _, g := range append(groups, path) {
			require.Eventually(t, func() bool {
				err := unix.Rmdir(g)
				return err == nil || err == unix.ENOENT
			}, 10*time.Second, time.Millisecond, g)
		}
	}
}

// boot starts an agent whose root is a directory below an overlay.
func boot(t testing.TB, kill, root string) *machine {
	t.Helper()
	m := launch(t, kill)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	welcome, err := m.Hello(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]uint8{"cgroup": wire.KillCgroup, "freeze": wire.KillFreeze, "lineage": wire.KillLineage}[kill], welcome.Kill)
	require.NoError(t, m.Configure(ctx, config(root)))
	return m
}

func config(root string) *wire.Config {
	return &wire.Config{
		Root:         wire.Mount{Kind: wire.MountBind, Source: root},
		Upper:        wire.Mount{Kind: wire.MountTmpfs, SizeBytes: 64 << 20},
		Capabilities: guestCaps,
		ShmBytes:     64 << 20,
		Renewal:      wire.Renewal{Hostname: "sandbox"},
	}
}

func TestBoots(t *testing.T) {
	for _, kill := range how(t) {
		t.Run(kill, func(t *testing.T) {
			m := boot(t, kill, enginetest.Root(t))
			require.Equal(t, "0\nsandbox", enginetest.Output(t, m, "sh", "-c", "id -u; hostname"))
		})
	}
}

// The programs of this engine's guests have the same promises as those of all others.
func TestPrograms(t *testing.T) {
	for i, kill := range how(t) {
		t.Run(kill, func(t *testing.T) {
			suite := enginetest.Suite{
				Boot:  func(t testing.TB, root string) engine.Machine { return boot(t, kill, root) },
				Ways:  map[string][]string{"agent": enginetest.DefaultEnv},
				OneID: os.Geteuid() != 0,
			}
			if i == 0 {
				suite.All(t)
			} else {
				suite.Families(t)
			}
		})
	}
}
