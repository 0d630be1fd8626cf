package agent

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestCloseEndsEverything(t *testing.T) {
	m := bootOne(t)
	p := startPiped(t, m, "sh", "-c", "sleep 1000 & sleep 1000")
	require.NoError(t, m.Close())
	require.NoError(t, m.Close(), "Close is idempotent")
	require.NoError(t, m.Err())
	_, err := p.Wait()
	require.ErrorIs(t, err, &fault.Error{Code: fault.Gone})
	_, err = io.ReadAll(p.out)
	require.NoError(t, err)
	_, err = m.Start(t.Context(), engine.Program{Argv: []string{"true"}})
	require.ErrorIs(t, err, &fault.Error{Code: fault.Gone})
	require.NoError(t, m.cmd.Wait(), "the agent leaves with its host")
	requireNoWorkers(t)
}

// requireNoWorkers waits until no goroutine of a Client runs.
func requireNoWorkers(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool {
		stacks := make([]byte, 1<<20)
		text := string(stacks[:runtime.Stack(stacks, true)])
		return !strings.Contains(text, "agent.(*Client).receive") && !strings.Contains(text, "put).run")
	}, enginetest.Timeout, time.Millisecond)
}

func TestCrashIsSeen(t *testing.T) {
	m := bootOne(t)
	p := startPiped(t, m, "sh", "-c", "echo before; exec sleep 1000")
	buf := make([]byte, 16)
	n, err := p.out.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "before\n", string(buf[:n]))
	require.NoError(t, m.cmd.Process.Kill())
	<-m.Done()
	require.ErrorIs(t, m.Err(), io.EOF)
	_, err = p.Wait()
	require.ErrorIs(t, err, &fault.Error{Code: fault.Gone})
	require.Equal(t, engine.ProgramUsage{CPUTime: -1, OwnCPUTime: -1}, p.Usage())
}

func TestPowerOff(t *testing.T) {
	m := bootOne(t)
	p := startPiped(t, m, "sleep", "1000")
	require.NoError(t, m.Sync(t.Context()))
	require.NoError(t, m.PowerOff(t.Context()))
	<-m.Done()
	require.NoError(t, m.Err())
	_, err := p.Wait()
	require.Error(t, err)
	require.NoError(t, m.cmd.Wait())
}

func TestMachineUsage(t *testing.T) {
	m := bootOne(t)
	before, err := m.Client.Usage(t.Context())
	require.NoError(t, err)
	require.Zero(t, before.Programs)
	p := startPiped(t, m, "sh", "-c", "dd if=/dev/zero of=/tmp/x bs=1M count=20 2>/dev/null; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo; read x")
	_, err = p.out.Read(make([]byte, 1))
	require.NoError(t, err)
	after, err := m.Client.Usage(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 1, after.Programs)
	assert.Greater(t, after.CPUTime, before.CPUTime+uint64(20*time.Millisecond))
	assert.NotZero(t, after.MemoryBytes)
	assert.GreaterOrEqual(t, after.MemoryPeak, after.MemoryBytes)
	// The figure is the kernel's, which here has others to serve.
	assert.Greater(t, after.OverlayBytes, uint64(20<<20))
}

func TestRename(t *testing.T) {
	m := bootOne(t)
	require.NoError(t, m.Renew(t.Context(), wire.Renewal{Hostname: "other"}))
	require.Equal(t, "other", enginetest.Output(t, m, "hostname"))
}

func TestHelloAgain(t *testing.T) {
	m := bootOne(t)
	welcome, err := m.Hello(t.Context())
	require.NoError(t, err)
	require.True(t, welcome.Configured)
	require.EqualValues(t, wire.Version, welcome.Version)
	require.NotEmpty(t, welcome.Kernel)
	require.ErrorIs(t, m.Configure(t.Context(), config("/")), unix.EALREADY)
}

func TestConfigurationThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*wire.Config)
		errno  syscall.Errno
		text   string
	}{
		"missing root":   {func(c *wire.Config) { c.Root.Source = "/none" }, unix.ENOENT, `open "/none"`},
		"root is a file": {func(c *wire.Config) { c.Root.Source = "/etc/passwd" }, unix.ENOTDIR, "mount root"},
		"target is a file": {func(c *wire.Config) {
			c.Mounts = []wire.Mount{{Kind: wire.MountTmpfs, Target: "/bin/busybox", SizeBytes: 4096}}
		}, unix.ENOTDIR, `mount "/bin/busybox"`},
		"no place for /proc": {func(c *wire.Config) { c.Upper = wire.Mount{} }, unix.EROFS, "/proc"},
	} {
		t.Run(name, func(t *testing.T) {
			m := launch(t, how(t)[0])
			_, err := m.Start(t.Context(), engine.Program{Argv: []string{"true"}})
			require.ErrorIs(t, err, unix.EAGAIN, "before it is configured")
			c1 := config(enginetest.Root(t))
			c.change(c1)
			err = m.Configure(t.Context(), c1)
			var e *fault.Error
			require.ErrorAs(t, err, &e)
			assert.Equal(t, fault.StageRoot, e.Stage)
			assert.Equal(t, c.errno, e.Errno, e.Message)
			assert.Contains(t, e.Message, c.text)
		})
	}
}

func TestMounts(t *testing.T) {
	root, source := enginetest.Root(t), t.TempDir()
	require.NoError(t, os.Chmod(source, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(source, "file"), []byte("content\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(source, "tool"), []byte("#!/bin/sh\necho ran\n"), 0o755))
	require.NoError(t, os.Symlink("/etc", filepath.Join(root, "link")))
	require.NoError(t, os.Symlink("../../../..", filepath.Join(root, "up")))
	m := launch(t, how(t)[0])
	c := config(root)
	bind := func(flags uint8, source, target string) wire.Mount {
		return wire.Mount{Kind: wire.MountBind, Flags: flags, Source: source, Target: target}
	}
	c.Mounts = []wire.Mount{
		bind(0, source, "/rw"), bind(wire.ReadOnly|wire.NoExec, source, "/deep/er/ro"), bind(wire.ReadOnly, source+"/file", "/link/one"),
		bind(0, source, "/up/top"), {Kind: wire.MountTmpfs, Flags: wire.NoExec, Target: "/scratch", SizeBytes: 1 << 20},
	}
	require.NoError(t, m.Configure(t.Context(), c))
	for script, want := range map[string]string{
		"cat /rw/file /deep/er/ro/file /etc/one /top/file":                "content\ncontent\ncontent\ncontent",
		"echo new > /rw/new; cat /top/new; rm /rw/new":                    "new",
		"(echo x > /deep/er/ro/x) 2>&1":                                   "sh: can't create /deep/er/ro/x: Read-only file system",
		"(echo x > /etc/one) 2>&1":                                        "sh: can't create /etc/one: Read-only file system",
		"/rw/tool; /deep/er/ro/tool 2>&1":                                 "ran\nsh: /deep/er/ro/tool: Permission denied",
		"cp /bin/busybox /scratch/b 2>&1; wc -c < /scratch/b":             "cp: write error: No space left on device\n1048576",
		"mkdir /made; ls -d /made; ls / | tr '\\n' ' ' 2>/dev/null; echo": "/made",
	} {
		got := enginetest.Output(t, m, "sh", "-c", "{ "+script+"; } || :")
		if strings.HasPrefix(script, "mkdir") {
			got, _, _ = strings.Cut(got, "\n")
		}
		assert.Equal(t, want, got, script)
	}
	require.NoDirExists(t, filepath.Join(root, "made"), "the root itself is never written")
	require.NoDirExists(t, filepath.Join(root, "deep"))
}

// What a program of uid 0 must not do to the machine. Each has a twin that it may.
func TestConfinement(t *testing.T) {
	for _, kill := range how(t) {
		t.Run(kill, func(t *testing.T) {
			m := boot(t, kill, enginetest.Root(t))
			for script, want := range map[string]string{
				"busybox mount -t tmpfs x /tmp 2>/dev/null; echo $?":                                                                                                  "1",
				"busybox mknod /tmp/null c 1 3 2>/dev/null; echo $?; busybox mkfifo /tmp/p; echo $?":                                                                  "1\n0",
				"for s in HUP INT QUIT TERM USR1 ALRM PIPE ABRT; do kill -$s 1; done; kill -KILL 1; echo":                                                             "",
				"cat /proc/1/environ 2>/dev/null; ls /proc/1/root 2>/dev/null; cat /proc/1/fd/3 2>/dev/null; busybox readlink /proc/1/exe; cat /proc/self/fd/0; echo": "",
				"echo 1 > /proc/sys/kernel/panic 2>/dev/null; echo $?; cat /proc/sys/kernel/pid_max >/dev/null; echo $?":                                              "1\n0",
				"cat /proc/kallsyms; cat /proc/kcore; cat /proc/keys; cat /proc/cpuinfo >/dev/null && echo ok":                                                        "ok",
				"busybox chroot /bin /busybox echo in":                                                                                                                "in",
				"busybox hostname x 2>/dev/null; hostname":                                                                                                            "sandbox",
				"grep NoNewPrivs /proc/self/status | cut -f2":                                                                                                         "1",
				"cat /proc/self/oom_score_adj":                                                                                                                        "0",
			} {
				assert.Equal(t, want, enginetest.Output(t, m, "sh", "-c", script), script)
			}
			require.Equal(t, "hi", enginetest.Output(t, m, "echo", "hi"))
		})
	}
}

// A program of uid 0 that kills its keeper loses all that it started, and its own life.
func TestKeeperThatIsKilled(t *testing.T) {
	m := boot(t, "lineage", enginetest.Root(t))
	in, out, err := os.Pipe()
	require.NoError(t, err)
	f, err := enginetest.Spawn(t, m, engine.Program{Argv: []string{"sh", "-c", "read x; setsid sleep 1000 & kill -KILL $PPID; exec sleep 1000"}, Stdio: [3]*os.File{in}})
	require.NoError(t, err)
	require.NoError(t, out.Close())
	require.Equal(t, syscall.SIGKILL, f.Result().Status.Signal())
	// They are killed when it ends, and gone a moment later.
	require.Eventually(t, func() bool { return !strings.Contains(enginetest.Output(t, m, "ps", "-o", "comm"), "sleep") },
		10*time.Second, 10*time.Millisecond)
}
