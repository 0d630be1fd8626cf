package mounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/tests/subprocess"
)

// opened opens a source that is closed when the test ends.
func opened(t testing.TB, path string, readOnly bool) *Source {
	t.Helper()
	s, err := Open(Spec{Source: path, Target: "/t", ReadOnly: readOnly})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// unlinkable opens a file that cannot be linked: it has lost its last name.
func unlinkable(t testing.TB, path string) *Source {
	t.Helper()
	s := opened(t, path, false)
	require.NoError(t, os.Remove(path))
	return s
}

func staged(t testing.TB, base string, s *Source) *Staged {
	t.Helper()
	st, err := Stage(base, s, 0)
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	return st
}

func stat(t testing.TB, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Lstat(path, &st))
	return st
}

func TestStageLinks(t *testing.T) {
	base, file := stageBase(t), write(t, "text")
	st := staged(t, base, opened(t, file, false))
	require.False(t, st.Copied)
	require.NoError(t, st.Reason)
	require.False(t, st.WritesLost(Spec{}))
	inside := filepath.Join(st.Path(), StagedName)
	require.Equal(t, stat(t, file).Ino, stat(t, inside).Ino)
	require.Equal(t, []string{StagedName}, list(t, st.Path()))
	require.Equal(t, uint32(unix.S_IFDIR|0o700), stat(t, st.Path()).Mode)

	require.NoError(t, os.WriteFile(inside, []byte("from the guest"), 0))
	require.Equal(t, "from the guest", read(t, file))

	require.NoError(t, st.Remove())
	require.NoError(t, st.Remove(), "idempotent")
	require.Empty(t, list(t, base))
	require.Equal(t, "from the guest", read(t, file))
	require.Equal(t, uint32(unix.S_IFREG|0o644), stat(t, file).Mode)
}

func TestStageEachFileInItsOwnDirectory(t *testing.T) {
	base := stageBase(t)
	odd := filepath.Join(t.TempDir(), "a,b:c;\xff\n"+strings.Repeat("n", 240))
	require.NoError(t, os.WriteFile(odd, nil, 0o600))
	a, b := staged(t, base, opened(t, odd, false)), staged(t, base, opened(t, odd, false))
	require.NotEqual(t, a.Path(), b.Path())
	require.NoError(t, a.Remove())
	require.Equal(t, []string{StagedName}, list(t, b.Path()))
}

func TestStageOfALinkIsWhatItLeadsTo(t *testing.T) {
	file := write(t, "text")
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(file, link))
	st := staged(t, stageBase(t), opened(t, link, false))
	require.False(t, st.Copied)
	require.Equal(t, stat(t, file).Ino, stat(t, filepath.Join(st.Path(), StagedName)).Ino)
}

func TestStageAfterTheSourceWasSwapped(t *testing.T) {
	file, other := write(t, "first"), write(t, "second")
	s := opened(t, file, false)
	require.NoError(t, os.Rename(other, file))
	st := staged(t, stageBase(t), s)
	require.Equal(t, "first", read(t, filepath.Join(st.Path(), StagedName)))
}

// TestStageOfAForeignFile stages what another user owns and we may read.
func TestStageOfAForeignFile(t *testing.T) {
	file := write(t, "foreign")
	protected := false
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chown(file, subprocess.Nobody, subprocess.Nobody))
	} else {
		file = "/etc/passwd"
		protected = strings.TrimSpace(read(t, "/proc/sys/fs/protected_hardlinks")) == "1"
	}
	st := staged(t, stageBase(t), opened(t, file, true))
	inside := filepath.Join(st.Path(), StagedName)
	require.Equal(t, read(t, file), read(t, inside))
	if os.Geteuid() == 0 {
		require.False(t, st.Copied)
	}
	if !protected {
		return
	}
	require.True(t, st.Copied)
	require.Error(t, st.Reason)
	got := stat(t, inside)
	require.Equal(t, uint32(os.Geteuid()), got.Uid)
	require.Equal(t, uint32(unix.S_IFREG|0o444), got.Mode, "we could not write the original, so we do not write the copy")
}

func TestStageCopiesWithRights(t *testing.T) {
	for _, mode := range []uint32{0o600, 0o644, 0o755, 0o464, 0o777, 0o4755} {
		t.Run(fmt.Sprintf("%o", mode), func(t *testing.T) {
			file := write(t, "text")
			if os.Geteuid() == 0 {
				require.NoError(t, os.Chown(file, 12345, 54321))
			}
			require.NoError(t, unix.Chmod(file, mode))
			when := time.Unix(1_000_000_000, 123)
			require.NoError(t, os.Chtimes(file, when, when))
			before := stat(t, file)
			s, err := Open(Spec{Source: file, Target: "/t", ReadOnly: true})
			require.NoError(t, err)
			defer s.Close()
			require.NoError(t, os.Remove(file))
			st := staged(t, stageBase(t), s)
			require.True(t, st.Copied)
			require.ErrorIs(t, st.Reason, unix.ENOENT)
			require.True(t, st.WritesLost(Spec{}))
			require.False(t, st.WritesLost(Spec{ReadOnly: true}))
			got := stat(t, filepath.Join(st.Path(), StagedName))
			require.Equal(t, mode&0o777, got.Mode&0o7777)
			require.Equal(t, [2]uint32{before.Uid, before.Gid}, [2]uint32{got.Uid, got.Gid})
			require.Equal(t, before.Mtim, got.Mtim)
			require.Equal(t, "text", read(t, fdPath(s.fd())))
		})
	}
}

func TestStageCopiesAcrossFileSystems(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "mounts-test-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	base := stageBase(t)
	if stat(t, dir).Dev == stat(t, base).Dev {
		t.Skip("needs two file systems: /dev/shm and the temporary directory are one")
	}
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, []byte("far away"), 0o640))
	st := staged(t, base, opened(t, file, false))
	require.True(t, st.Copied)
	require.ErrorIs(t, st.Reason, unix.EXDEV)
	require.NoError(t, os.WriteFile(filepath.Join(st.Path(), StagedName), []byte("changed"), 0))
	require.Equal(t, "far away", read(t, file), "a copy's changes do not come back")
}

func TestStageBoundsTheCopy(t *testing.T) {
	base := stageBase(t)
	s := unlinkable(t, write(t, "12345"))
	st, err := Stage(base, s, 5)
	require.NoError(t, err)
	require.NoError(t, st.Remove())
	_, err = Stage(base, s, 4)
	refused(t, err, fault.Limit, `mount "/t": stage`)
	require.Contains(t, err.Error(), "larger than the 4 bytes")
	require.Empty(t, list(t, base), "nothing is left of a failed staging")

	_, err = Stage(base, opened(t, write(t, "12345"), false), 4)
	require.NoError(t, err, "a link has no size limit")
}

func TestStageRefusals(t *testing.T) {
	base := stageBase(t)
	dir := t.TempDir()
	_, err := Stage(base, opened(t, dir, false), 0)
	refused(t, err, fault.Invalid, "only files are staged")
	tmpfs, err := Open(Spec{Kind: Tmpfs, Target: "/t"})
	require.NoError(t, err)
	_, err = Stage(base, tmpfs, 0)
	refused(t, err, fault.Invalid, "only files are staged")

	s := opened(t, write(t, ""), false)
	_, err = Stage(filepath.Join(dir, "missing"), s, 0)
	refused(t, err, fault.NotFound, "missing")
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(base, link))
	_, err = Stage(link, s, 0)
	refused(t, err, fault.NotFound, "not a directory")
	require.NoError(t, os.Chmod(base, 0o770))
	_, err = Stage(base, s, 0)
	refused(t, err, fault.Permission, "yours alone")
	require.Error(t, Sweep(base))
	require.NoError(t, os.Chmod(base, 0o700))
	keepsDescriptors(t, func() {
		st, err := Stage(base, s, 0)
		require.NoError(t, err)
		require.NoError(t, st.Remove())
	})
}

func TestCannotLinkIsNoOtherFailure(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EXDEV, unix.EPERM, unix.EMLINK, unix.EOPNOTSUPP} {
		require.True(t, cannotLink(errno), errno.Error())
	}
	for _, errno := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EIO, unix.EROFS, unix.EEXIST} {
		require.False(t, cannotLink(errno), errno.Error())
	}
}

func TestSweepRemovesWhatAGuestMade(t *testing.T) {
	base, outside, file := stageBase(t), write(t, "outside"), write(t, "text")
	st := staged(t, base, opened(t, file, false))
	in := func(name string) string { return filepath.Join(st.Path(), name) }
	require.NoError(t, os.Symlink(filepath.Dir(outside), in("link")))
	require.NoError(t, unix.Mkfifo(in("fifo"), 0))
	require.NoError(t, os.MkdirAll(in("closed/closed"), 0o700))
	require.NoError(t, os.WriteFile(in("closed/closed/file"), nil, 0o400))
	require.NoError(t, os.Chmod(in("closed/closed"), 0))
	require.NoError(t, os.Chmod(in("closed"), 0))
	for i := range 1500 {
		require.NoError(t, os.WriteFile(in(fmt.Sprint("many", i)), nil, 0))
	}
	makeDeep(t, int(st.Dir().Fd()), 1500)
	require.NoError(t, os.WriteFile(filepath.Join(base, "other"), nil, 0o600))

	require.NoError(t, Sweep(base))
	require.Equal(t, []string{"other"}, list(t, base))
	require.Equal(t, "outside", read(t, outside))
	require.Equal(t, uint32(unix.S_IFREG|0o644), stat(t, file).Mode)
	require.NoError(t, Sweep(filepath.Join(base, "missing")))
}

// makeDeep nests directories deeper than a path can name.
func makeDeep(t *testing.T, dir, depth int) {
	dir, err := unix.Dup(dir)
	require.NoError(t, err)
	for range depth {
		require.NoError(t, unix.Mkdirat(dir, "d", 0o700))
		next, err := unix.Openat(dir, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		unix.Close(dir)
		dir = next
	}
	unix.Close(dir)
}

func TestSweepReportsWhatItCannotRemove(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a file that cannot be removed")
	}
	base := stageBase(t)
	st := staged(t, base, opened(t, write(t, ""), false))
	stuck := filepath.Join(st.Path(), "mounted")
	require.NoError(t, os.Mkdir(stuck, 0o700))
	err := unix.Mount("tmpfs", stuck, "tmpfs", 0, "size=4096")
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs the right to mount")
	}
	require.NoError(t, err)
	defer unix.Unmount(stuck, unix.MNT_DETACH)
	require.ErrorIs(t, Sweep(base), unix.EBUSY)
	require.NoError(t, unix.Unmount(stuck, 0))
	require.NoError(t, Sweep(base))
	require.Empty(t, list(t, base))
}
