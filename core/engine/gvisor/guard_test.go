package gvisor

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/filters"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// status reads the fields of /proc/PID/status.
func status(t testing.TB, pid int) map[string]string {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	defer f.Close()
	fields := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

// What the receipt claims of sentry and gofer, as the host's kernel sees it.
func TestConfinement(t *testing.T) {
	const allowed = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<18 | 1<<19 // CHOWN to FSETID, SYS_CHROOT, SYS_PTRACE
	if os.Geteuid() == 0 {                                           // as a login's root, who is in groups that own devices
		before, err := os.Getgroups()
		require.NoError(t, err)
		require.NoError(t, syscall.Setgroups([]int{0, 6}))
		defer syscall.Setgroups(before)
		require.Equal(t, "0 6", status(t, os.Getpid())["Groups"])
	}
	for name, root := range map[string]image.Root{"host": {}, "dir": busyboxRoot(t)} {
		t.Run(name, func(t *testing.T) {
			// The caller's own.
			ours := map[string]string{}
			for _, ns := range []string{"user", "mnt", "pid", "net", "ipc", "uts"} {
				var err error
				ours[ns], err = os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", os.Getppid(), ns))
				if err != nil {
					ours[ns], err = os.Readlink("/proc/self/ns/" + ns)
				}
				require.NoError(t, err)
			}
			m := bootMachine(t, newConfig(t, root))
			require.Equal(t, "hi", output(t, m, "echo", "hi"))
			pids := descendants(t, os.Getpid())
			require.GreaterOrEqual(t, len(pids), 2)
			for _, pid := range pids {
				s := status(t, pid)
				if strings.HasPrefix(s["State"], "Z") {
					continue
				}
				name := fmt.Sprintf("%s %d", s["Name"], pid)
				assert.Equal(t, "1", s["NoNewPrivs"], name)
				assert.Equal(t, "2", s["Seccomp"], name)
				caps, err := strconv.ParseUint(s["CapBnd"], 16, 64)
				require.NoError(t, err)
				assert.Zero(t, caps&^allowed, "%s: bounding set %#x", name, caps)
				uid := strings.Fields(s["Uid"])[0]
				if os.Geteuid() == 0 {
					assert.NotEqual(t, "0", uid, name)
					assert.Empty(t, s["Groups"], name)
				} else {
					assert.Equal(t, strconv.Itoa(os.Geteuid()), uid, name)
				}
				for ns := range ours {
					theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
					if err == nil { // denied to an unprivileged caller
						assert.NotEqual(t, ours[ns], theirs, "%s: namespace %s", name, ns)
					}
				}
			}
		})
	}
}

// The filters that were compiled beforehand are found: their keys fit the
// options that the engine boots with.
func TestCompiledFiltersAreUsed(t *testing.T) {
	if _, err := filters.Load(); err != nil {
		t.Skipf("needs filters compiled for %s", runtime.GOARCH)
	}
	cfg := newConfig(t, busyboxRoot(t))
	logs := filepath.Join(cfg.Dir, "debug") + "/"
	m, err := sandboxer{flags: map[string]string{"debug": "true", "debug-log": logs}}.Boot(t.Context(), cfg)
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, "hi", output(t, m, "echo", "hi"))
	for _, command := range []string{"boot", "gofer"} {
		var text []byte
		files, err := filepath.Glob(logs + "*." + command + ".txt")
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			text = append(text, data...)
		}
		require.Contains(t, string(text), "Loaded precompiled seccomp instructions", command)
		require.NotContains(t, string(text), "No precompiled program found", command)
	}
}

func TestGuestIdentity(t *testing.T) {
	m := bootMachine(t, newConfig(t, busyboxRoot(t)))
	for _, env := range [][]string{defaultEnv, twice} {
		r, err := spawn(t, m, engine.Program{Env: env,
			Argv: []string{"sh", "-c", "id -u; id -g; hostname; grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/self/status | tr '\\t' ' '; ls /proc/self/fd | wc -l"}})
		require.NoError(t, err)
		const caps = "00000000800405fb" // the header's list
		got := r.Result().Out
		require.Equal(t, "0\n0\nsandbox\nCapPrm: "+caps+"\nCapEff: "+caps+"\nCapBnd: "+caps+
			"\nCapAmb: 0000000000000000\n", got[:strings.LastIndex(strings.TrimSuffix(got, "\n"), "\n")+1])
	}
	r := run(t, m, "sh", "-c", "busybox mount -t tmpfs none /tmp")
	require.NotZero(t, r.Status.ExitStatus(), "no CAP_SYS_ADMIN")
	require.Equal(t, "33", output(t, m, "sh", "-c", "touch /tmp/f && chown 33:33 /tmp/f && stat -c %u /tmp/f"))
}

func TestOnlyLoopback(t *testing.T) {
	m := bootMachine(t, newConfig(t, image.Root{}))
	require.Equal(t, "pong", output(t, m, "python3", "-c", `
import socket
s = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(s.getsockname())
p, _ = s.accept()
p.sendall(b"pong")
print(c.recv(4).decode())`))
	require.Equal(t, "unreachable", output(t, m, "python3", "-c", `
import socket
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as e:
    print("unreachable" if e.errno == 101 else e)`))
}

// Private files stay private from a sandbox that root starts.
func TestHostRootHidesPrivateFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: an unprivileged caller shares what it may read")
	}
	dir, err := os.MkdirTemp("/usr/local", "msb-test-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600))
	m := bootMachine(t, newConfig(t, image.Root{}))
	require.NotZero(t, run(t, m, "ls", dir).Status.ExitStatus())
	require.NoError(t, os.Chmod(dir, 0o755))
	require.Equal(t, "secret", output(t, m, "ls", dir))
	r := run(t, m, "cat", dir+"/secret")
	require.Contains(t, r.Err, "Permission denied")
	require.NotContains(t, r.Out, "secret")
	require.NotZero(t, run(t, m, "touch", dir+"/new").Status.ExitStatus(), "read-only")
	for _, never := range []string{"/home", "/etc/shadow", "/etc/ssl/private", "/var/lib", "/var/log"} {
		require.NotZero(t, run(t, m, "ls", never).Status.ExitStatus(), never)
	}
}

// A private directory that root gives as a root is the guest's in full: its
// owners are mapped.
func TestDirOwnersAreMapped(t *testing.T) {
	root := busyboxRoot(t)
	require.NoError(t, os.Chmod(root.Path, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(root.Path, "secret"), []byte("mine"), 0o600))
	if os.Geteuid() == 0 {
		require.NoError(t, os.WriteFile(filepath.Join(root.Path, "other"), nil, 0o600))
		require.NoError(t, os.Chown(filepath.Join(root.Path, "other"), 33, 44))
	}
	m := bootMachine(t, newConfig(t, root))
	require.Equal(t, "mine", output(t, m, "cat", "/secret"))
	require.Equal(t, "0 0", output(t, m, "stat", "-c", "%u %g", "/secret"))
	if os.Geteuid() == 0 {
		require.Equal(t, "33 44", output(t, m, "stat", "-c", "%u %g", "/other"))
	}
}

func TestBlockedUserNamespaces(t *testing.T) {
	needStatic(t)
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Skip("needs unshare of util-linux")
	}
	exe, err := os.Executable()
	require.NoError(t, err)
	// The limit holds in a user namespace of our own, not on the host.
	script := `echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -test.run='^TestHelperBlocked$' -test.v`
	cmd := exec.Command(unshare, "--user", "--map-root-user", "sh", "-c", script, exe)
	cmd.Env = append(os.Environ(), "MSB_TEST_BLOCKED=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "--- PASS: TestHelperBlocked")
}

// TestHelperBlocked runs where no user namespace can be made.
func TestHelperBlocked(t *testing.T) {
	if os.Getenv("MSB_TEST_BLOCKED") == "" {
		t.Skip("runs only as a child of TestBlockedUserNamespaces")
	}
	_, err := New().Boot(t.Context(), newConfig(t, busyboxRoot(t)))
	require.ErrorIs(t, err, &fault.Error{Code: fault.Setup})
	require.Contains(t, err.Error(), "user.max_user_namespaces is 0; set it above 0")
	require.Empty(t, descendants(t, os.Getpid()))
}
