package mounts

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func openTestList(t *testing.T) []*Source {
	t.Helper()
	sources, err := OpenAll([]Spec{
		{Source: write(t, "in a mount"), Target: "/d/file"},
		{Source: t.TempDir(), Target: "/d", NoExec: true},
		{Kind: Tmpfs, Target: "/scratch"},
		{Kind: EROFS, Source: erofsImage(t), Target: "/image"},
	})
	require.NoError(t, err)
	t.Cleanup(func() { CloseAll(sources) })
	return sources
}

func TestOpenAllOpensNothingOnError(t *testing.T) {
	dir, file := t.TempDir(), write(t, "")
	keepsDescriptors(t, func() {
		_, err := OpenAll([]Spec{{Source: dir, Target: "/a"}, {Source: "/nowhere", Target: "/b"}})
		refused(t, err, fault.NotFound, `mount "/b": source "/nowhere"`)
		_, err = OpenAll([]Spec{{Source: file, Target: "/a"}, {Kind: Tmpfs, Target: "/a/b/c"}})
		refused(t, err, fault.Invalid, `mount "/a/b/c": the target lies in "/a", where a single file is mounted`)
		_, err = OpenAll([]Spec{{Source: file, Target: "/own/x"}}, "/own")
		refused(t, err, fault.Invalid, "/own belongs")
	})
}

// TestListCrossesASocket sends a list as the library does and uses what arrives.
func TestListCrossesASocket(t *testing.T) {
	entries, files := Pack(openTestList(t))
	require.Len(t, files, 3)
	data, err := json.Marshal(entries)
	require.NoError(t, err)
	received := overSocket(t, files)
	var arrived []Entry
	require.NoError(t, json.Unmarshal(data, &arrived))
	sources, err := Unpack(arrived, received)
	require.NoError(t, err)
	defer CloseAll(sources)
	require.Len(t, sources, 4)
	for _, s := range sources {
		switch s.Spec.Target {
		case "/d":
			require.True(t, s.Dir && s.Spec.NoExec)
		case "/d/file":
			require.Equal(t, "in a mount", read(t, fdPath(s.fd())))
		case "/scratch":
			require.Equal(t, uint64(DefaultTmpfs), s.Spec.SizeBytes)
		case "/image":
			require.NoError(t, s.checkMagic())
		}
	}
}

// overSocket passes descriptors to ourselves.
func overSocket(t *testing.T, files []*os.File) []*os.File {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	var fds []int
	for _, f := range files {
		fds = append(fds, int(f.Fd()))
	}
	require.NoError(t, unix.Sendmsg(pair[0], []byte("x"), unix.UnixRights(fds...), nil, 0))
	oob := make([]byte, unix.CmsgSpace(4*len(fds)))
	_, n, _, _, err := unix.Recvmsg(pair[1], make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	require.NoError(t, err)
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	require.NoError(t, err)
	got, err := unix.ParseUnixRights(&messages[0])
	require.NoError(t, err)
	var out []*os.File
	for _, fd := range got {
		out = append(out, os.NewFile(uintptr(fd), "received"))
	}
	return out
}

func TestUnpackChecksTheSender(t *testing.T) {
	sources := openTestList(t)
	for name, c := range map[string]struct {
		change func(entries []Entry, files []*os.File) ([]Entry, []*os.File)
		want   string // "" is accepted
	}{
		"nothing": {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { return e, f }, ""},
		"descriptors exchanged": {func(e []Entry, f []*os.File) ([]Entry, []*os.File) {
			f[0], f[2] = f[2], f[0]
			return e, f
		}, "not that of source"},
		"one too few":    {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { f[2].Close(); return e, f[:2] }, "missing or used twice"},
		"one too many":   {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { return e[:3], f }, "more descriptors"},
		"used twice":     {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { e[2].FD = e[0].FD; return e, f }, "missing or used twice"},
		"no descriptor":  {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { e[0].FD = -1; return e, f }, "missing or used twice"},
		"far index":      {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { e[0].FD = 1 << 30; return e, f }, "missing or used twice"},
		"another inode":  {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { e[0].Ino++; return e, f }, "not that of source"},
		"another device": {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { e[0].Dev++; return e, f }, "not that of source"},
		"bad target":     {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { e[0].Spec.Target = "/proc/x"; return e, f }, "/proc belongs"},
		"child first":    {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { e[0], e[3] = e[3], e[0]; return e, f }, "not as Validate returns it"},
		"default left":   {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { e[1].Spec.SizeBytes = 0; return e, f }, "not as Validate returns it"},
		"tmpfs with one": {func(e []Entry, f []*os.File) ([]Entry, []*os.File) { e[1].FD = 0; return e, f }, "a tmpfs has no descriptor"},
		"in a file": {func(e []Entry, f []*os.File) ([]Entry, []*os.File) {
			e[1].Spec.Target = "/d/file/x"
			return []Entry{e[0], e[2], e[3], e[1]}, f
		}, "single file"},
	} {
		t.Run(name, func(t *testing.T) {
			keepsDescriptors(t, func() {
				entries, files := Pack(sources)
				entries, files = c.change(entries, overSocket(t, files))
				got, err := Unpack(entries, files)
				if c.want == "" {
					require.NoError(t, err)
					CloseAll(got)
					return
				}
				refused(t, err, fault.Invalid, c.want)
			})
		})
	}
}
