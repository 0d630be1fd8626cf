//go:build linux

package image

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestHostShowsOnlyTheToolchain(t *testing.T) {
	dir := t.TempDir()
	binds, err := MakeHost(dir, -1, -1)
	require.NoError(t, err)
	for _, b := range binds {
		for _, never := range []string{"/home", "/root", "/var", "/run", "/tmp", "/etc/ssl/private", "/etc/shadow"} {
			assert.False(t, never == b.Source || strings.HasPrefix(never, b.Source+"/") ||
				strings.HasPrefix(b.Source, never+"/"), "%s shows %s", b.Source, never)
		}
		st, err := os.Stat(b.Source)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o005), st.Mode().Perm()&0o005, "%s is private", b.Source)
		assert.DirExists(t, filepath.Join(dir, b.Target))
	}
	for name, mode := range map[string]os.FileMode{
		"tmp": 0o777 | os.ModeSticky | os.ModeDir, "work": 0o755 | os.ModeDir, "root": 0o700 | os.ModeDir, "etc/passwd": 0o644,
	} {
		st, err := os.Lstat(filepath.Join(dir, name))
		require.NoError(t, err)
		assert.Equal(t, mode, st.Mode(), name)
	}
	for _, never := range []string{"etc/shadow", "etc/resolv.conf", "etc/ssl/private", "home"} {
		assert.NoFileExists(t, filepath.Join(dir, never))
	}
}

func TestHostModesIgnoreUmask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	dir := t.TempDir()
	_, err := MakeHost(dir, -1, -1)
	require.NoError(t, err)
	st, err := os.Stat(filepath.Join(dir, "etc/passwd"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o644), st.Mode())
	st, err = os.Stat(filepath.Join(dir, "tmp"))
	require.NoError(t, err)
	require.Equal(t, 0o777|os.ModeSticky|os.ModeDir, st.Mode())
}

// Private files and directories are left out; readable twins are shown.
func TestHostLeavesOutPrivateFiles(t *testing.T) {
	host := t.TempDir()
	for name, mode := range map[string]os.FileMode{"open": 0o755, "closed": 0o700, "group": 0o750} {
		require.NoError(t, os.Mkdir(filepath.Join(host, name), 0o755))
		require.NoError(t, os.Chmod(filepath.Join(host, name), mode))
	}
	for name, mode := range map[string]os.FileMode{"text": 0o644, "secret": 0o600} {
		require.NoError(t, os.WriteFile(filepath.Join(host, name), []byte(name), mode))
	}
	s := &skeleton{dir: t.TempDir(), uid: -1, gid: -1}
	for _, name := range []string{"open", "closed", "group", "missing"} {
		s.tree(filepath.Join(host, name))
	}
	for _, name := range []string{"text", "secret", "missing"} {
		s.copy(filepath.Join(host, name))
	}
	require.NoError(t, s.err)
	require.Equal(t, []Bind{{Source: host + "/open", Target: host + "/open"}}, s.binds)
	require.FileExists(t, filepath.Join(s.dir, host, "text"))
	require.NoFileExists(t, filepath.Join(s.dir, host, "secret"))
}
