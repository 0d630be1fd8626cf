package mounts

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// erofsImage makes a file that looks like an image to this package.
func erofsImage(t testing.TB) string {
	return write(t, strings.Repeat("\x00", erofsSuperblock)+"\xe2\xe1\xf5\xe0"+strings.Repeat("\x00", 4096))
}

func TestOpenSources(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	link := func(name, target string) string {
		require.NoError(t, os.Symlink(target, in(name)))
		return in(name)
	}
	file := write(t, "text")
	unreadable := write(t, "text")
	require.NoError(t, os.Chmod(unreadable, 0))
	readOnly := write(t, "text")
	require.NoError(t, os.Chmod(readOnly, 0o444))
	require.NoError(t, unix.Mkfifo(in("fifo"), 0o600))
	listener, err := net.Listen("unix", in("socket"))
	require.NoError(t, err)
	defer listener.Close()
	longName := in(strings.Repeat("n", 255))
	require.NoError(t, os.Mkdir(longName, 0o700))
	odd := in("a \xff\\\n")
	require.NoError(t, os.Mkdir(odd, 0o700))

	for name, c := range map[string]struct {
		spec Spec
		code fault.Code
		want string // "" opens
	}{
		"directory":                {Spec{Source: dir}, 0, ""},
		"file":                     {Spec{Source: file}, 0, ""},
		"link to a file":           {Spec{Source: link("l1", file)}, 0, ""},
		"link to a link":           {Spec{Source: link("l2", in("l1"))}, 0, ""},
		"link in the middle":       {Spec{Source: link("l3", filepath.Dir(file)) + "/name"}, 0, ""},
		"..":                       {Spec{Source: longName + "/../../" + filepath.Base(dir)}, 0, ""},
		"name of 255 bytes":        {Spec{Source: longName}, 0, ""},
		"odd bytes":                {Spec{Source: odd}, 0, ""},
		"erofs":                    {Spec{Kind: EROFS, Source: erofsImage(t), ReadOnly: true}, 0, ""},
		"erofs by link":            {Spec{Kind: EROFS, Source: link("l4", erofsImage(t)), ReadOnly: true}, 0, ""},
		"read-only file, as such":  {Spec{Source: readOnly, ReadOnly: true}, 0, ""},
		"missing":                  {Spec{Source: in("missing")}, fault.NotFound, "no such file"},
		"dangling link":            {Spec{Source: link("l5", "/nowhere/at/all")}, fault.NotFound, `link to "/nowhere/at/all", which leads nowhere`},
		"circle":                   {Spec{Source: link("l6", in("l6"))}, fault.Invalid, "circles"},
		"file as a directory":      {Spec{Source: file + "/x"}, fault.NotFound, "not a directory"},
		"fifo":                     {Spec{Source: in("fifo")}, fault.Invalid, "is a FIFO"},
		"fifo as erofs":            {Spec{Kind: EROFS, Source: in("fifo"), ReadOnly: true}, fault.Invalid, "is a FIFO"},
		"socket":                   {Spec{Source: in("socket")}, fault.Invalid, "is a socket"},
		"device":                   {Spec{Source: "/dev/null"}, fault.Invalid, "is a character device"},
		"link to a device":         {Spec{Source: link("l7", "/dev/null")}, fault.Invalid, "is a character device"},
		"descriptor of ours":       {Spec{Source: "/proc/self/fd/0"}, fault.Invalid, "link of /proc"},
		"link to such":             {Spec{Source: link("l8", "/proc/self/cwd")}, fault.Invalid, "link of /proc"},
		"procfs":                   {Spec{Source: "/proc"}, fault.Invalid, "procfs"},
		"file of procfs":           {Spec{Source: "/proc/version", ReadOnly: true}, fault.Invalid, "procfs"},
		"directory as erofs":       {Spec{Kind: EROFS, Source: dir, ReadOnly: true}, fault.Invalid, "is a directory"},
		"other file as erofs":      {Spec{Kind: EROFS, Source: file, ReadOnly: true}, fault.Invalid, "not an EROFS image"},
		"unreadable file":          {Spec{Source: unreadable, ReadOnly: true}, fault.Permission, "must be able to read it"},
		"read-only file, writable": {Spec{Source: readOnly}, fault.Permission, "mount it read-only"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.code == fault.Permission && os.Geteuid() == 0 {
				t.Skip("needs a user who is not root")
			}
			c.spec.Target = "/t"
			keepsDescriptors(t, func() {
				s, err := Open(c.spec)
				if c.want != "" {
					require.Nil(t, s)
					refused(t, err, c.code, c.want)
					require.Contains(t, err.Error(), `mount "/t"`)
					return
				}
				require.NoError(t, err)
				flags, err := unix.FcntlInt(s.File().Fd(), unix.F_GETFD, 0)
				require.NoError(t, err)
				require.Equal(t, unix.FD_CLOEXEC, flags)
				require.NoError(t, s.Close())
			})
		})
	}
}

func TestOpenTellsFilesFromDirectories(t *testing.T) {
	for path, dir := range map[string]bool{write(t, ""): false, t.TempDir(): true} {
		s, err := Open(Spec{Source: path, Target: "/t"})
		require.NoError(t, err)
		defer s.Close()
		require.Equal(t, dir, s.Dir)
		require.False(t, s.Recursive)
	}
	s, err := Open(Spec{Source: "/", Target: "/t"})
	require.NoError(t, err)
	defer s.Close()
	require.True(t, s.Recursive, "at least /proc is mounted below /")
	tmpfs, err := Open(Spec{Kind: Tmpfs, Target: "/t"})
	require.NoError(t, err)
	require.True(t, tmpfs.Dir)
	require.Nil(t, tmpfs.File())
	require.NoError(t, tmpfs.Close())
}

func TestOpenSourceInsideAnotherMount(t *testing.T) {
	s, err := Open(Spec{Source: "/dev/shm", Target: "/t", ReadOnly: true})
	require.NoError(t, err)
	defer s.Close()
	require.True(t, s.Dir)
}

func TestSourceSwappedAfterOpenDoesNotMatter(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	require.NoError(t, os.WriteFile(first, []byte("first"), 0o600))
	require.NoError(t, os.WriteFile(second, []byte("second"), 0o600))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(first, link))

	s, err := Open(Spec{Source: link, Target: "/t"})
	require.NoError(t, err)
	defer s.Close()
	require.NoError(t, os.Remove(link))
	require.NoError(t, os.Symlink(second, link))
	require.Equal(t, "first", read(t, fdPath(s.fd())))
	require.NoError(t, os.Rename(second, first))
	require.Equal(t, "first", read(t, fdPath(s.fd())))

	now, err := Open(Spec{Source: first, Target: "/t"})
	require.NoError(t, err)
	defer now.Close()
	require.Equal(t, "second", read(t, fdPath(now.fd())))
	require.False(t, s.SameFile(now))
	require.True(t, now.SameFile(now))
}

func TestFromFDChecksTheDescriptor(t *testing.T) {
	file, image, dir := write(t, "text"), erofsImage(t), t.TempDir()
	require.NoError(t, os.Symlink(file, dir+"/link"))
	const path = unix.O_PATH
	for name, c := range map[string]struct {
		kind  Kind
		open  string
		flags int
		want  string // "" is accepted
	}{
		"bind of a file":            {Bind, file, path, ""},
		"bind of a directory":       {Bind, dir, path, ""},
		"bind, readable":            {Bind, file, unix.O_RDONLY, "not with O_PATH"},
		"bind, writable":            {Bind, file, unix.O_RDWR, "not with O_PATH"},
		"bind, readable directory":  {Bind, dir, unix.O_RDONLY, "not with O_PATH"},
		"bind of a device":          {Bind, "/dev/null", path, "character device"},
		"bind of a link itself":     {Bind, dir + "/link", path | unix.O_NOFOLLOW, "a symbolic link"},
		"erofs":                     {EROFS, image, unix.O_RDONLY, ""},
		"erofs, writable":           {EROFS, image, unix.O_RDWR, "not open for reading alone"},
		"erofs, O_PATH":             {EROFS, image, path, "not open for reading alone"},
		"erofs of another file":     {EROFS, file, unix.O_RDONLY, "not an EROFS image"},
		"erofs of a directory":      {EROFS, dir, unix.O_RDONLY, "is a directory"},
		"bind of a file of procfs":  {Bind, "/proc/version", path, "procfs"},
		"bind of a pipe, of /proc":  {Bind, "/proc/self/environ", path, "procfs"},
		"bind of a device's parent": {Bind, "/dev", path, ""},
	} {
		t.Run(name, func(t *testing.T) {
			keepsDescriptors(t, func() {
				fd, err := unix.Open(c.open, c.flags, 0)
				require.NoError(t, err)
				s, err := FromFD(Spec{Kind: c.kind, Source: c.open, Target: "/t", ReadOnly: true}, os.NewFile(uintptr(fd), c.open))
				if c.want != "" {
					refused(t, err, fault.Invalid, c.want)
					return
				}
				require.NoError(t, err)
				flags, err := unix.FcntlInt(s.File().Fd(), unix.F_GETFD, 0)
				require.NoError(t, err)
				require.Equal(t, unix.FD_CLOEXEC, flags, "a received descriptor is closed at exec")
				s.Close()
			})
		})
	}
}

// TestOpenOnAReadOnlyFileSystem mounts one, at a path that mountinfo escapes.
func TestOpenOnAReadOnlyFileSystem(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a b\n\\c")
	require.NoError(t, os.Mkdir(dir, 0o700))
	err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_RDONLY, "size=4096")
	if errors.Is(err, unix.EPERM) {
		t.Skip("needs the right to mount")
	}
	require.NoError(t, err)
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })

	_, err = Open(Spec{Source: dir, Target: "/t"})
	refused(t, err, fault.Permission, "read-only file system; mount it read-only")
	s, err := Open(Spec{Source: dir, Target: "/t", ReadOnly: true})
	require.NoError(t, err)
	defer s.Close()
	require.False(t, s.Recursive)
	above, err := Open(Spec{Source: parent, Target: "/t"})
	require.NoError(t, err)
	defer above.Close()
	require.True(t, above.Recursive)
	beside, err := Open(Spec{Source: dir[:len(dir)-1], Target: "/t"})
	refused(t, err, fault.NotFound, "no such file")
	require.Nil(t, beside)
}
