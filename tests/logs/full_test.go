package logs_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/logs"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// innerEnv marks the process that has a mount namespace of its own.
const innerEnv = "MSB_TEST_FULL_DISK"

// A full disk under a log costs log lines: programs run to their end, and the log
// says how much it lost once there is room again.
func TestFullDisk(t *testing.T) {
	if os.Getenv(innerEnv) == "" {
		if os.Geteuid() != 0 {
			t.Skip("needs root, to mount a small file system")
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestFullDisk$", "-test.count=1", "-test.v")
		cmd.Env = append(os.Environ(), innerEnv+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: TestFullDisk")
		return
	}
	disk := t.TempDir()
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(t, unix.Mount("none", disk, "tmpfs", 0, "mode=700,size=256k"))
	t.Cleanup(func() { unix.Unmount(disk, unix.MNT_DETACH) })
	o := options(t, "full")
	o.State = core.State{XDGRuntimeDir: t.TempDir(), XDGDataHome: disk}
	o.Stored = true
	sb := harness.Create(t, o)
	say(t, sb, "echo before").End()
	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	require.NoError(t, err)
	for err == nil {
		_, err = ballast.Write(make([]byte, 4096))
	}
	require.True(t, errors.Is(err, unix.ENOSPC), "%v", err)
	const said = 1 << 20
	out := say(t, sb, "head -c 1048576 /dev/zero; exit 5").End()
	assert.Equal(t, int32(5), out.ExitCode, "nothing but the log is hurt")
	require.NoError(t, ballast.Truncate(0))
	ballast.Close()
	say(t, sb, "echo after").End()
	all := read(t, "full", o.State, core.LogOptions{})
	position, missed, why := uint64(0), uint64(0), ""
	for _, e := range all {
		require.Equal(t, position, e.Position)
		position += uint64(len(e.Content))
		if e.Source == logs.Gap {
			position += e.Missed - uint64(len(e.Content))
			missed += e.Missed
			why = string(e.Content)
		}
	}
	stdout := text(all, logs.Stdout)
	assert.True(t, strings.HasPrefix(stdout, "before\n") && strings.HasSuffix(stdout, "after\n"))
	assert.GreaterOrEqual(t, position, uint64(said))
	assert.Greater(t, missed, uint64(said/2))
	assert.Contains(t, why, "no space left on device")
	harness.End(t, sb)
	require.NoError(t, core.Remove("full", o.State))
}
