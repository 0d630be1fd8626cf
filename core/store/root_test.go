//go:build linux

package store

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestResolve(t *testing.T) {
	standard, err := userDefault()
	require.NoError(t, err)
	for _, c := range []struct {
		l    Location
		want string
	}{
		{Location{Dir: "/d", MsbHome: "/m", XDGRuntimeDir: "/x"}, "/d"},
		{Location{MsbHome: "/m", XDGRuntimeDir: "/x"}, "/m"},
		{Location{XDGRuntimeDir: "/x"}, "/x/microsandbox"},
		{Location{Dir: "/a/../b//c/"}, "/b/c"},
		{Location{XDGRuntimeDir: "relative"}, standard},
		{Location{}, standard},
	} {
		got, err := c.l.Resolve()
		require.NoError(t, err)
		assert.Equal(t, c.want, got)
	}
	longest := "/" + strings.Repeat("x", MaxDir-1)
	_, err = Location{Dir: longest}.Resolve()
	assert.NoError(t, err)
	_, err = Location{Dir: longest + "x"}.Resolve()
	assert.ErrorIs(t, err, code(fault.Invalid))
}

func TestRootMustBeOurs(t *testing.T) {
	for mode, want := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o770: false, 0o707: false, 0o777: false} {
		dir := filepath.Join(t.TempDir(), "state")
		require.NoError(t, os.Mkdir(dir, 0o700))
		require.NoError(t, os.Chmod(dir, mode))
		root, err := OpenRoot(dir)
		if want {
			require.NoError(t, err, "%#o", mode)
			root.Close()
		} else {
			assert.ErrorIs(t, err, code(fault.Permission), "%#o", mode)
		}
	}
	if os.Geteuid() != 0 {
		t.Log("the rest needs root: a directory of another user")
		return
	}
	dir := t.TempDir()
	require.NoError(t, os.Chown(dir, 1, 1))
	_, err := OpenRoot(dir)
	assert.ErrorIs(t, err, code(fault.Permission))
	assert.ErrorContains(t, err, "uid 1")
}

func TestRootThatDoesNotExist(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a/b/c")
	root, err := OpenExistingRoot(dir)
	require.NoError(t, err)
	assert.Nil(t, root)
	root, err = OpenRoot(dir)
	require.NoError(t, err)
	root.Close()
	st, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())
}

func TestRootThatIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := OpenRoot(file)
	assert.ErrorIs(t, err, syscall.ENOTDIR)
	_, err = OpenExistingRoot(file)
	assert.ErrorIs(t, err, syscall.ENOTDIR)
}

// mount mounts a tmpfs that is gone with the test.
func mount(t *testing.T, dir, options string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts a tmpfs")
	}
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, options))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

func TestReadOnlyRoot(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "mode=700")
	root, err := OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	_, err = root.Claim(self(t, "a"))
	assert.ErrorIs(t, err, code(fault.Permission))
	assert.ErrorIs(t, err, unix.EROFS)
	assert.ErrorContains(t, err, dir)
	_, err = root.List()
	assert.NoError(t, err, "looking works")
}

func TestFullRoot(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "mode=700,size=64k")
	root, err := OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	fill, err := os.Create(filepath.Join(dir, "fill"))
	require.NoError(t, err)
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	fill.Close()
	_, err = root.Claim(self(t, "a"))
	assert.ErrorIs(t, err, code(fault.Limit))
	assert.ErrorIs(t, err, unix.ENOSPC)
	assert.Empty(t, entryNames(t, root), "nothing is left of it")
	require.NoError(t, os.Remove(fill.Name()))
	claim, err := root.Claim(self(t, "a"))
	require.NoError(t, err, "with room it works")
	require.NoError(t, claim.Remove())
}
