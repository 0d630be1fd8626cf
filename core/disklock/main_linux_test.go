package disklock

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/tests/subprocess"
)

const helperVariable = "DISKLOCK_TEST_HELPER"

func TestMain(m *testing.M) {
	if verb := os.Getenv(helperVariable); verb != "" {
		help(verb, os.Args[1:])
	}
	os.Exit(m.Run())
}

// help is another process: it does what the verb says, says how that went in
// one line, and lives until its standard input ends or it is killed.
func help(verb string, args []string) {
	var err error
	mode := Shared
	if len(args) > 1 && args[1] == "exclusive" {
		mode = Exclusive
	}
	switch verb {
	case "idle":
	case "lock":
		_, err = Lock(args[0], mode, nil)
	case "adopt", "adopt-and-spawn":
		var fd int
		fmt.Sscan(args[2], &fd)
		var h *Held
		h, err = Adopt(os.NewFile(uintptr(fd), "handed over"), args[0], mode, nil)
		if err == nil && verb == "adopt-and-spawn" {
			err = spawnIdle(h)
		}
	case "lock-file":
		_, err = LockFile(os.NewFile(3, "handed over"), args[0], mode, nil)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("ready")
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// spawnIdle starts a child that has the lock's descriptor, as an engine may.
func spawnIdle(h *Held) error {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{helperVariable + "=idle"}
	cmd.Stdin = os.Stdin
	cmd.ExtraFiles = []*os.File{h.File()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n')
	}
	return err
}

// start starts a process of help and returns once it has said how it went. files are
// its descriptors from 3 on; nil entries are left out.
func start(t testing.TB, files []*os.File, verb string, args ...string) *subprocess.Child {
	t.Helper()
	return startAs(t, os.Geteuid(), files, verb, args...)
}

func startAs(t testing.TB, uid int, files []*os.File, verb string, args ...string) *subprocess.Child {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), helperVariable+"="+verb)
	cmd.ExtraFiles = files
	if uid != os.Geteuid() {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	return subprocess.Start(t, cmd)
}

// holding starts one that must succeed.
func holding(t testing.TB, files []*os.File, verb string, args ...string) *subprocess.Child {
	t.Helper()
	h := start(t, files, verb, args...)
	require.Equal(t, "ready", h.Said)
	return h
}

// TestAsUnprivilegedUser runs this package's tests again as uid 65534.
func TestAsUnprivilegedUser(t *testing.T) { subprocess.AgainAsNobody(t) }

// image makes a file to be locked.
func image(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(path, []byte("data"), 0o644))
	return path
}

// free checks that nobody holds a lock.
func free(t testing.TB, path string) {
	t.Helper()
	h, err := Lock(path, Exclusive, nil)
	require.NoError(t, err)
	require.NoError(t, h.Close())
}

func descriptors(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}
