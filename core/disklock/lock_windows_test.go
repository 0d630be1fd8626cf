package disklock

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// TestMain is also the process that holds a lock: it takes it, says so, and waits for
// the end of its input.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "hold" {
		if _, err := Lock(os.Args[2], Exclusive, nil); err != nil {
			os.Exit(3)
		}
		os.Stdout.WriteString("held\n")
		os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func image(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(path, []byte("content"), 0o600))
	return path
}

func TestModes(t *testing.T) {
	path := image(t)
	one, err := Lock(path, Shared, nil)
	require.NoError(t, err)
	two, err := Lock(path, Shared, nil)
	require.NoError(t, err, "any number reads")
	_, err = Lock(path, Exclusive, nil)
	assert.ErrorIs(t, err, &fault.Error{Code: fault.State})
	require.NoError(t, one.Close())
	_, err = Lock(path, Exclusive, nil)
	assert.ErrorIs(t, err, &fault.Error{Code: fault.State}, "one reader is left")
	require.NoError(t, two.Close())
	alone, err := Lock(path, Exclusive, nil)
	require.NoError(t, err)
	_, err = Lock(path, Shared, nil)
	assert.ErrorIs(t, err, &fault.Error{Code: fault.State})
	text, err := os.ReadFile(path)
	require.NoError(t, err, "the content is not what is locked")
	assert.Equal(t, "content", string(text))
	require.NoError(t, alone.Close())
}

// The lock lives as long as the process that took it: W26 of the original was that the
// launcher held it, whatever became of the sandbox.
func TestLockEndsWithItsProcess(t *testing.T) {
	path := image(t)
	holder := exec.Command(os.Args[0], "hold", path)
	input, err := holder.StdinPipe()
	require.NoError(t, err)
	defer input.Close()
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	_, err = out.Read(make([]byte, 5))
	require.NoError(t, err)
	_, err = Lock(path, Shared, nil)
	assert.ErrorIs(t, err, &fault.Error{Code: fault.State})
	require.NoError(t, holder.Process.Kill())
	holder.Wait()
	again, err := Lock(path, Exclusive, nil)
	require.NoError(t, err)
	again.Close()
}

func TestWhatIsNoImage(t *testing.T) {
	for _, path := range []string{"", "relative", t.TempDir()} {
		_, err := Lock(path, Shared, nil)
		assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, path)
	}
	_, err := Lock(filepath.Join(t.TempDir(), "none"), Shared, nil)
	assert.ErrorIs(t, err, &fault.Error{Code: fault.NotFound})
}

func TestSetHasAnImageOnce(t *testing.T) {
	path := image(t)
	var set Set
	_, err := set.Lock(path, Shared, nil)
	require.NoError(t, err)
	_, err = set.Lock(filepath.Join(filepath.Dir(path), ".", "x", "..", "image"), Shared, nil)
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, "by another name, too")
	require.NoError(t, set.Close())
}
