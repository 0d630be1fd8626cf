package disklock

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/tests/subprocess"
)

func TestParseLock(t *testing.T) {
	dev := unix.Mkdev(0xfe, 0)
	for line, want := range map[string]flockLine{
		"1: FLOCK  ADVISORY  WRITE 4711 fe:00:9982961 0 EOF\n":           {Exclusive, 4711, dev, 9982961},
		"\t12: FLOCK  ADVISORY  READ 1 fe:00:7 0 EOF":                    {Shared, 1, dev, 7},
		"1: FLOCK  ADVISORY  READ 1 1f:fffff:18446744073709551615 0 EOF": {Shared, 1, unix.Mkdev(0x1f, 0xfffff), 1<<64 - 1},
	} {
		got, ok := parseLock(line)
		require.True(t, ok, line)
		require.Equal(t, want, got)
	}
	for _, line := range []string{
		"", "1:", "1: POSIX  ADVISORY  WRITE 1 fe:00:7 0 EOF", "1: OFDLCK ADVISORY  WRITE -1 fe:00:7 0 EOF",
		"1: -> FLOCK  ADVISORY  WRITE 1 fe:00:7 0 EOF", "1: FLOCK  ADVISORY  WRITE 1", "1: FLOCK  ADVISORY  WRITE 1 fe:00 0 EOF",
		"1: FLOCK ADVISORY WRITE 1 x:y:z 0 EOF",
	} {
		_, ok := parseLock(line)
		require.False(t, ok, line)
	}
}

func TestHoldersOfAnUnlockedImage(t *testing.T) {
	file, err := os.Open(image(t))
	require.NoError(t, err)
	defer file.Close()
	holders, err := Holders(file, nil)
	require.NoError(t, err)
	require.Empty(t, holders)
	_, err = Holders(os.Stdin, nil)
	require.Error(t, err)
}

func TestAnotherFileWithALockIsNoConflict(t *testing.T) {
	path, other := image(t), image(t)
	h, err := Lock(other, Exclusive, nil)
	require.NoError(t, err)
	defer h.Close()
	file, err := Open(path)
	require.NoError(t, err)
	defer file.Close()
	holders, err := Holders(file, nil)
	require.NoError(t, err)
	require.Empty(t, holders)
}

// TestConflictBetweenUsers: root sees who of another user holds the image; that
// user sees who of root took it.
func TestConflictBetweenUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be two users")
	}
	dir, err := os.MkdirTemp("", "disklock-users-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	require.NoError(t, os.Chmod(dir, 0o755))
	path := filepath.Join(dir, "image")
	require.NoError(t, os.WriteFile(path, nil, 0o644))

	theirs := startAs(t, subprocess.Nobody, nil, "lock", path, "shared")
	require.Equal(t, "ready", theirs.Said)
	_, err = Lock(path, Exclusive, nil)
	refused(t, err, fault.State, fmt.Sprintf("process %d", theirs.Pid()), "of uid 65534")
	theirs.Kill()

	ours, err := Lock(path, Exclusive, nil)
	require.NoError(t, err)
	defer ours.Close()
	refusedThem := startAs(t, subprocess.Nobody, nil, "lock", path, "shared")
	require.Contains(t, refusedThem.Said, fmt.Sprintf("process %d", os.Getpid()))
	require.Contains(t, refusedThem.Said, "of uid 0), which took it")
}

func TestHoldersTextOfTheUnknown(t *testing.T) {
	refused(t, conflict("/i", Shared, nil), fault.State, "cannot be seen from here")
}
