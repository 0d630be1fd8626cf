package mounts

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/tests/subprocess"
)

const helperVariable = "MOUNTS_TEST_STAGE" // file to stage, in a process that is then killed

func TestMain(m *testing.M) {
	if file := os.Getenv(helperVariable); file != "" {
		stageAndHang(file, os.Args[1])
	}
	os.Exit(m.Run())
}

// stageAndHang stages a file a few times and says so; then it waits to be killed.
func stageAndHang(file, base string) {
	for range 3 {
		s, err := Open(Spec{Source: file, Target: "/t", ReadOnly: true})
		if err == nil {
			_, err = Stage(base, s, 0)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	fmt.Println("staged")
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// TestAsUnprivilegedUser runs this package's tests again as uid 65534.
func TestAsUnprivilegedUser(t *testing.T) { subprocess.AgainAsNobody(t) }

func TestSweepAfterACrash(t *testing.T) {
	base, file := stageBase(t), write(t, "precious")
	cmd := exec.Command("/proc/self/exe", base)
	cmd.Env = append(os.Environ(), helperVariable+"="+file)
	stager := subprocess.Start(t, cmd)
	stager.Kill()
	require.Equal(t, "staged", stager.Said)

	require.Len(t, list(t, base), 3)
	require.NoError(t, Sweep(base))
	require.Empty(t, list(t, base))
	require.Equal(t, "precious", read(t, file))
}

// stageBase is a base directory for staging.
func stageBase(t testing.TB) string {
	t.Helper()
	base := filepath.Join(t.TempDir(), "base")
	require.NoError(t, os.Mkdir(base, 0o700))
	return base
}

// write makes a file in a directory of its own.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "name")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	return path
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(data)
}

func list(t testing.TB, dir string) []string {
	t.Helper()
	f, err := os.Open(dir)
	require.NoError(t, err)
	defer f.Close()
	names, err := f.Readdirnames(-1)
	require.NoError(t, err)
	return names
}

// keepsDescriptors checks that f leaves no descriptor open.
func keepsDescriptors(t testing.TB, f func()) {
	t.Helper()
	before := len(list(t, "/proc/self/fd"))
	f()
	require.Equal(t, before, len(list(t, "/proc/self/fd")), "open descriptors")
}
