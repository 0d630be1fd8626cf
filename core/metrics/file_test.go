//go:build linux

package metrics

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Each case spoils a good registry; no operation may take it for one, and none may
// replace it.
func TestBadFiles(t *testing.T) {
	overwrite := func(at int64, b ...byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			require.NoError(t, err)
			defer f.Close()
			_, err = f.WriteAt(b, at)
			require.NoError(t, err)
		}
	}
	size := func(n int64) func(*testing.T, string) {
		return func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, n)) }
	}
	replace := func(make func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, make(path))
		}
	}
	cases := []struct {
		name  string
		spoil func(*testing.T, string)
		code  fault.Code
		says  string
	}{
		{"empty", size(0), fault.IO, "truncated to 0 bytes"},
		{"header cut", size(100), fault.IO, "truncated to 100 bytes"},
		{"slots cut", size(headerSize + 3), fault.IO, "has 259 bytes instead of 5376"},
		{"too long", size(9999), fault.IO, "has 9999 bytes"},
		{"other magic", overwrite(0, 'X'), fault.IO, "some other file"},
		{"newer version", overwrite(8, 2), fault.TooNew, "version 2, this library knows 1"},
		{"other slot size", overwrite(0x10, 1), fault.IO, "damaged header"},
		{"other capacity", overwrite(0x14, 200), fault.IO, "damaged header"},
		{"others may read", func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o644)) }, fault.Permission, "yours alone"},
		{"link", replace(func(path string) error { return os.Symlink("/etc/passwd", path) }), fault.IO, "symbolic link"},
		{"FIFO", replace(func(path string) error { return unix.Mkfifo(path, 0o600) }), fault.IO, "not a regular file"},
		{"directory", replace(func(path string) error { return os.Mkdir(path, 0o700) }), fault.IO, "is a directory"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, fileName)
			reserve(t, open(t, dir, 8), "web")
			_, err := OpenExisting(dir)
			require.NoError(t, err, "good before")
			c.spoil(t, path)
			before, err := os.Lstat(path)
			require.NoError(t, err)
			_, err = OpenExisting(dir)
			requireCode(t, err, c.code, c.says)
			assert.Contains(t, err.Error(), path)
			_, err = Open(dir, 8)
			requireCode(t, err, c.code, c.says)
			after, err := os.Lstat(path)
			require.NoError(t, err)
			assert.True(t, os.SameFile(before, after))
		})
	}
}

func TestNoRegistry(t *testing.T) {
	_, err := OpenExisting(t.TempDir())
	requireCode(t, err, fault.NotFound, fileName)
	_, err = Open(filepath.Join(t.TempDir(), "missing"), 0)
	requireCode(t, err, fault.NotFound, "missing")
	_, err = Open(t.TempDir(), MaxCapacity+1)
	requireCode(t, err, fault.Invalid, "capacity")
	_, err = Open(t.TempDir(), -1)
	requireCode(t, err, fault.Invalid, "capacity")
}

func TestFileOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: to give a file to another user")
	}
	dir := t.TempDir()
	open(t, dir, 2)
	require.NoError(t, os.Chown(filepath.Join(dir, fileName), 65534, 65534))
	_, err := Open(dir, 2)
	requireCode(t, err, fault.Permission, "belongs to uid 65534")
	_, err = OpenExisting(dir)
	requireCode(t, err, fault.Permission, "belongs to uid 65534")
}

// A registry that shrinks under its users is an error for each of them.
func TestTruncatedUnderItsUsers(t *testing.T) {
	for _, size := range []int64{0, 300, 5000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			dir := t.TempDir()
			reg := open(t, dir, 32)
			var writers []*Writer
			for i := range 20 {
				w, _ := activate(t, reg, fmt.Sprint("box-", i))
				require.NoError(t, w.Write(patterned(1)))
				writers = append(writers, w)
			}
			token := reserve(t, reg, "starting")
			require.NoError(t, os.Truncate(filepath.Join(dir, fileName), size))

			last := writers[len(writers)-1] // on a page that is gone: SIGBUS without precautions
			requireCode(t, last.Write(patterned(2)), fault.IO, "truncated")
			requireCode(t, last.Write(patterned(3)), fault.IO, "truncated")
			_, err := reg.Snapshot()
			requireCode(t, err, fault.IO, "remove it")
			_, err = reg.ReleaseReserved(token)
			requireCode(t, err, fault.IO, "remove it")
			_, err = reg.Reserve("more", "id", Limits{}, self(t))
			requireCode(t, err, fault.IO, "remove it")
			_, err = reg.Activate(token, self(t))
			requireCode(t, err, fault.IO, "remove it")
			require.Error(t, last.Release(true))

			require.NoError(t, os.Remove(filepath.Join(dir, fileName)))
			reserve(t, reg, "after")
		})
	}
}

// A creator that died left its half-made file; the next one makes the registry.
func TestDeadCreator(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, newName), []byte("half"), 0o600))
	_, err := OpenExisting(dir)
	requireCode(t, err, fault.NotFound, fileName)
	reserve(t, open(t, dir, 2), "web")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
	info, err := left[0].Info()
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode())
	assert.Equal(t, registrySize(2), info.Size())
}

// After a reboot no process of the registry can be alive: it is made anew.
func TestRegistryOfAnEarlierBoot(t *testing.T) {
	dir := t.TempDir()
	reg := open(t, dir, 2)
	token := reserve(t, reg, "starting")
	activate(t, reg, "running")
	f, err := reg.file(false)
	require.NoError(t, err)
	header := make([]byte, headerSize)
	require.NoError(t, f.read(header, 0))
	le.PutUint64(header[0x18:], bootHash()+1)
	le.PutUint64(header[headerEnd:], checksum(header[:headerEnd]))
	require.NoError(t, f.write(header, 0))

	old, err := OpenExisting(dir)
	require.NoError(t, err)
	defer old.Close()
	e, err := old.ByName("running")
	require.NoError(t, err)
	assert.Equal(t, Stale, e.State, "though a process of that id lives")
	_, err = old.Reserve("more", "id", Limits{}, self(t))
	requireCode(t, err, fault.IO, "last boot")

	fresh := open(t, dir, 2)
	slots, err := fresh.Slots()
	require.NoError(t, err)
	assert.Empty(t, slots)
	_, err = fresh.Activate(token, self(t))
	requireCode(t, err, fault.Gone, "no longer")
	reserve(t, fresh, "next")
	slots, err = old.Slots() // follows its name
	require.NoError(t, err)
	assert.Equal(t, []string{"next"}, names(slots))
}

// A damaged slot hides itself, costs no other, and is used again when none else is left.
func TestDamagedSlot(t *testing.T) {
	for _, c := range []struct {
		name string
		at   int64
		b    byte
	}{{"name", offName, 'X'}, {"state", offState, 77}, {"generation", offSlotGen, 99}} {
		t.Run(c.name, func(t *testing.T) {
			reg := open(t, t.TempDir(), 2)
			w, token := activate(t, reg, "damaged")
			w2, _ := activate(t, reg, "good")
			require.NoError(t, w2.Write(patterned(1)))
			f, err := reg.file(false)
			require.NoError(t, err)
			require.NoError(t, f.write([]byte{c.b}, slotOffset(token.Slot)+c.at))
			entries, err := reg.Snapshot()
			require.NoError(t, err)
			assert.Equal(t, []string{"good"}, names(entries))
			next := reserve(t, reg, "next")
			assert.Equal(t, token.Slot, next.Slot)
			requireCode(t, w.Write(patterned(1)), fault.Gone, "no longer")
		})
	}
}
