//go:build linux

package image

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// makeImage makes an EROFS image of a small tree.
func makeImage(t testing.TB, options ...string) string {
	t.Helper()
	mkfs, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		t.Skip("needs erofs-utils")
	}
	dir := t.TempDir()
	for _, d := range []string{"bin", "tmp", "etc/deep/deeper"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "etc/deep/deeper/text"), []byte(strings.Repeat("text\n", 3000)), 0o644))
	for i := range 300 {
		require.NoError(t, os.Symlink("target", filepath.Join(dir, "bin", strings.Repeat("l", i%50+1)+string(rune('a'+i/50)))))
	}
	image := filepath.Join(t.TempDir(), "image")
	out, err := exec.Command(mkfs, append(append([]string{"-T0"}, options...), image, dir)...).CombinedOutput()
	require.NoError(t, err, string(out))
	return image
}

func noInline(t testing.TB) string { return makeImage(t, "-E", "noinline_data") }

// change returns a copy of a file that f has changed.
func change(t testing.TB, path string, f func([]byte) []byte) string {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), "changed")
	require.NoError(t, os.WriteFile(copied, f(data), 0o644))
	return copied
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("x"), 0o644))
	fifo := filepath.Join(dir, "fifo")
	require.NoError(t, unix.Mkfifo(fifo, 0o644))
	good := noInline(t)

	for _, c := range []struct {
		name  string
		root  Root
		code  fault.Code
		errno unix.Errno
		says  string
	}{
		{"missing directory", Root{Dir, dir + "/none"}, fault.NotFound, unix.ENOENT, "no such file"},
		{"file for a directory", Root{Dir, file}, fault.Invalid, unix.ENOTDIR, "not a directory"},
		{"directory below a file", Root{Dir, file + "/x"}, fault.NotFound, unix.ENOTDIR, "not a directory"},
		{"relative directory", Root{Dir, "relative"}, fault.Invalid, 0, "absolute"},
		{"empty path", Root{Dir, ""}, fault.Invalid, 0, "absolute"},
		{"missing image", Root{EROFS, dir + "/none"}, fault.NotFound, unix.ENOENT, "no such file"},
		{"relative image", Root{EROFS, "relative"}, fault.Invalid, 0, "absolute"},
		{"directory for an image", Root{EROFS, dir}, fault.Invalid, unix.EISDIR, "root kind dir"},
		{"FIFO for an image", Root{EROFS, fifo}, fault.Invalid, 0, "not a regular file"},
		{"short image", Root{EROFS, file}, fault.Invalid, 0, "too short"},
		{"empty image", Root{EROFS, change(t, file, func([]byte) []byte { return nil })}, fault.Invalid, 0, "too short"},
		{"garbage", Root{EROFS, change(t, good, func(b []byte) []byte { return make([]byte, len(b)) })}, fault.Invalid, 0, "not an EROFS"},
		{"half an image", Root{EROFS, change(t, good, func(b []byte) []byte { return b[:len(b)/2] })}, fault.Invalid, 0, "truncated"},
		{"a block less", Root{EROFS, change(t, good, func(b []byte) []byte { return b[:len(b)-1] })}, fault.Invalid, 0, "truncated"},
		{"damaged superblock", Root{EROFS, change(t, good, func(b []byte) []byte { b[1024+100] ^= 1; return b })}, fault.Invalid, 0, "checksum"},
		{"inline data", Root{EROFS, makeImage(t)}, fault.Unsupported, 0, "noinline_data"},
		{"compressed", Root{EROFS, makeImage(t, "-zlz4hc", "-E", "noinline_data")}, fault.Unsupported, 0, "without -z"},
		{"no source", Root{Host, ""}, fault.Invalid, 0, "kind 0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := Open(c.root)
			require.Nil(t, f)
			var e *fault.Error
			require.True(t, errors.As(err, &e), "%v", err)
			assert.Equal(t, c.code, e.Code, e.Message)
			assert.Equal(t, c.errno, e.Errno, e.Message)
			assert.Equal(t, fault.StageRoot, e.Stage)
			assert.Contains(t, e.Message, c.says)
			assert.NotContains(t, e.Message, "\n")
		})
	}
	for _, r := range []Root{{Dir, dir}, {EROFS, good}} {
		f, err := Open(r)
		require.NoError(t, err)
		f.Close()
	}
}

func TestUnreadableRoots(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("needs an unprivileged user: root reads everything")
	}
	dir := t.TempDir()
	image := noInline(t)
	require.NoError(t, os.Chmod(dir, 0))
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	require.NoError(t, os.Chmod(image, 0))
	for _, r := range []Root{{Dir, dir}, {EROFS, image}} {
		_, err := Open(r)
		require.ErrorIs(t, err, &fault.Error{Code: fault.Permission})
		require.ErrorIs(t, err, unix.EACCES)
	}
}

func TestEmptyTmp(t *testing.T) {
	open := func(r Root) *os.File {
		f, err := Open(r)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	dir := t.TempDir()
	d := open(Root{Dir, dir})
	require.True(t, EmptyTmp(Dir, d), "missing")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "tmp"), 0o755))
	require.True(t, EmptyTmp(Dir, d), "empty")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tmp/x"), nil, 0o644))
	require.False(t, EmptyTmp(Dir, d), "in use")
	require.True(t, EmptyTmp(EROFS, open(Root{EROFS, noInline(t)})))
}

// A damaged image is refused or passes, but never breaks the reader.
func FuzzErofs(f *testing.F) {
	data, err := os.ReadFile(noInline(f))
	require.NoError(f, err)
	f.Add(data, uint16(5000), byte(7))
	f.Fuzz(func(t *testing.T, image []byte, at uint16, value byte) {
		if len(image) < 8192 {
			return
		}
		image[int(at)%len(image)] = value
		e := newErofsReader(strings.NewReader(string(image)), image[erofsSuperblock:4096], int64(len(image)))
		e.hasInlineFile()
		e.emptyOrMissing("tmp")
	})
}
