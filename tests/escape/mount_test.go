package escape

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// given is a directory for a mount that everybody may write, with a file.
func given(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("given"), 0o666))
	require.NoError(t, os.Chmod(filepath.Join(dir, "file"), 0o666))
	return dir
}

func mounted(t *testing.T, path string, specs ...mounts.Spec) *core.Sandbox {
	t.Helper()
	o := harness.Options(t)
	o.Root, o.Mounts = harness.DirRoot(t), specs
	sb := harness.Create(t, o)
	upload(t, sb, path)
	return sb
}

// A read-only mount stays one: the same directory is written through another mount
// of the same sandbox, which is the control.
func TestReadOnlyMountStaysReadOnly(t *testing.T) {
	path, dir := probes(t), given(t)
	before := digest(t, dir)
	sb := mounted(t, path, mounts.Spec{Source: dir, Target: "/ro", ReadOnly: true}, mounts.Spec{Source: dir, Target: "/rw"})
	for _, args := range [][]string{
		{"file_create", "/ro", "new"},
		{"file_write", "/ro/file"},
		{"file_rewrite", "/ro/file"},
		{"mount_writable", "/ro", "new"},
	} {
		assert.Regexp(t, "^(denied: |reached: /tmp/)", string(inside(t, sb, args...)), "%q", args)
	}
	harness.Run(t, sb, "sh", "-c", "chmod 777 /ro /ro/file; touch -d @0 /ro/file; mv /ro/file /ro/moved; ln /ro/file /ro/hard; rm -rf /ro/*; "+
		"ln -s /ro /tmp/link; echo x > /tmp/link/new; cd /ro && echo x > new; echo x > /proc/self/cwd/new")
	assert.Equal(t, before, digest(t, dir))
	assert.True(t, inside(t, sb, "file_create", "/rw", "new").reached(), "control")
	assert.NotEqual(t, before, digest(t, dir), "control")
}

// A writable mount is a way to its directory and to nothing above, beside or
// behind it.
func TestWritableMountLeadsNowhereElse(t *testing.T) {
	w := newWorld(t)
	dir := given(t)
	require.NoError(t, os.Symlink(filepath.Join(w.dir, "secret"), filepath.Join(dir, "absolute")))
	relative, err := filepath.Rel(dir, filepath.Join(w.dir, "secret"))
	require.NoError(t, err)
	require.NoError(t, os.Symlink(relative, filepath.Join(dir, "relative")))
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.Write([]byte(w.secret))
			c.Close()
		}
	}()
	sb := mounted(t, w.probes, mounts.Spec{Source: dir, Target: "/rw"})
	harness.Run(t, sb, "ln", "-s", filepath.Join(w.dir, "secret"), "/rw/made")
	harness.Run(t, sb, "ln", "-s", relative, "/rw/also")
	for _, c := range [][]string{
		{"file_read", "absolute", w.secret},
		{"file_read", "relative", w.secret},
		{"file_read", "made", w.secret},
		{"file_read", "also", w.secret},
		{"file_write", "absolute"},
		{"socket_unix", "socket", w.secret},
	} {
		name := c[1]
		c[1] = filepath.Join("/rw", name)
		assert.Regexp(t, "^denied: ", string(inside(t, sb, c...)), "%q", c)
		c[1] = filepath.Join(dir, name)
		assert.True(t, outside(w.probes, c...).reached(), "control: %q", c)
	}
	assert.Regexp(t, "^denied: ", string(inside(t, sb, "file_read", "/rw/../"+relative, w.secret)))
	assert.Equal(t, w.secret, host(filepath.Join(w.dir, "secret")))
}

// While a program creates files in a writable mount, the host swaps a directory
// of it for a link to another one: nothing arrives there.
func TestSwapInAWritableMount(t *testing.T) {
	path, dir, target := probes(t), given(t), given(t)
	for i := range 100 {
		require.NoError(t, os.Mkdir(filepath.Join(dir, fmt.Sprint("swap", i)), 0o777))
		require.NoError(t, os.Chmod(filepath.Join(dir, fmt.Sprint("swap", i)), 0o777))
		require.NoError(t, os.Symlink(target, filepath.Join(dir, fmt.Sprint("other", i))))
	}
	sb := mounted(t, path, mounts.Spec{Source: dir, Target: "/rw"})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				one, two := filepath.Join(dir, fmt.Sprint("swap", i%100)), filepath.Join(dir, fmt.Sprint("other", i%100))
				unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, two, unix.RENAME_EXCHANGE)
			}
		}
	}()
	limit := fmt.Sprint(harness.Repeat(1000, 20000))
	got := inside(t, sb, "race_write", "/rw/swap", "100", "inside", limit)
	t.Log(got)
	assert.Regexp(t, "^reached: [1-9]", string(got), "the guest does write")
	_, err := os.Stat(filepath.Join(target, "inside"))
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.True(t, outside(path, "race_write", filepath.Join(dir, "swap"), "100", "outside", limit).reached())
	_, err = os.Stat(filepath.Join(target, "outside"))
	assert.NoError(t, err, "control")
	close(stop)
	<-stopped
}

// What a guest's root leaves in a writable mount lends nobody on the host the
// owner's rights: no program there has a set-user-id or set-group-id bit.
func TestNoSetIDProgramsInAWritableMount(t *testing.T) {
	path, dir, control := probes(t), given(t), given(t)
	sb := mounted(t, path, mounts.Spec{Source: dir, Target: "/rw"})
	assert.True(t, inside(t, sb, "file_setid", "/rw").reached())
	assert.Contains(t, harness.Output(t, sb, "cd /tmp; echo x > own; chmod 4755 own; stat -c %a own"), "4755", "in the guest's own files it may")
	assert.Empty(t, setIDFiles(t, dir))
	assert.True(t, inside(t, sb, "file_open", "/rw/chmod").reached(), "the file is there, without the bit")
	outside(path, "file_setid", control)
	assert.Subset(t, setIDFiles(t, control), []string{"chmod", "fchmod", "mknod", "open"}, "control")
}

// setIDFiles lists the files of a directory that have such a bit.
func setIDFiles(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
			names = append(names, e.Name())
		}
	}
	return names
}
