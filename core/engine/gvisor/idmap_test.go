package gvisor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/image"
)

// On a file system that cannot map ids the guest has the rights of others, and
// the receipt says so.
func TestDirWithoutIDMapping(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a ramfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("ramfs", dir, "ramfs", 0, "mode=755"); err != nil {
		t.Skipf("needs mount of ramfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	require.NoError(t, exec.Command("cp", "-a", busyboxRoot(t).Path+"/.", dir).Run())
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), nil, 0o600))
	m := bootMachine(t, newConfig(t, image.Root{Kind: image.Dir, Path: dir}))
	require.Contains(t, strings.Join(m.Receipt(), "\n"), "access rights of others")
	require.Equal(t, "65534", output(t, m, "stat", "-c", "%u", "/bin/busybox"))
	require.NotZero(t, run(t, m, "cat", "/secret").Status.ExitStatus())
	require.Equal(t, "new", output(t, m, "sh", "-c", "rm /secret && echo new > /secret && cat /secret"))
}
