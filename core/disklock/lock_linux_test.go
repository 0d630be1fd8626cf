package disklock

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/tests/subprocess"
)

// refused checks an error's code and text, and that it is one line.
func refused(t testing.TB, err error, code fault.Code, texts ...string) {
	t.Helper()
	var e *fault.Error
	require.True(t, errors.As(err, &e), "%v", err)
	for _, text := range texts {
		require.Contains(t, e.Message, text)
	}
	require.Equal(t, code, e.Code, e.Message)
	require.NotContains(t, e.Message, "\n")
}

func TestModesBetweenProcesses(t *testing.T) {
	for _, c := range []struct {
		first    string
		second   Mode
		conflict bool
	}{
		{"shared", Shared, false}, {"shared", Exclusive, true}, {"exclusive", Shared, true}, {"exclusive", Exclusive, true},
	} {
		t.Run(fmt.Sprintf("%s then %s", c.first, c.second), func(t *testing.T) {
			path, before := image(t), descriptors(t)
			first := holding(t, nil, "lock", path, c.first)
			names := func(pid int) string { return map[int]string{first.Pid(): "web"}[pid] }
			open := descriptors(t)
			second, err := Lock(path, c.second, names)
			if c.conflict {
				refused(t, err, fault.State, fmt.Sprintf("%q", path), "no "+c.second.String()+" lock",
					"held "+c.first, fmt.Sprintf(`by sandbox "web" (pid %d)`, first.Pid()))
				require.ErrorIs(t, err, unix.EBUSY)
				require.Equal(t, open, descriptors(t))
			} else {
				require.NoError(t, err)
				require.NoError(t, second.Close())
			}
			first.Kill()
			free(t, path)
			require.LessOrEqual(t, descriptors(t), before)
		})
	}
}

func TestKilledHolderHoldsNothing(t *testing.T) {
	path := image(t)
	for range 3 {
		h := holding(t, nil, "lock", path, "exclusive")
		_, err := Lock(path, Shared, nil)
		refused(t, err, fault.State, fmt.Sprintf("process %d", h.Pid()))
		h.Kill()
		free(t, path)
	}
}

func TestConflictNamesEachSharedHolder(t *testing.T) {
	path := image(t)
	sandboxes := map[int]string{}
	var helpers []*subprocess.Child
	for _, name := range []string{"a", "b", "c"} {
		h := holding(t, nil, "lock", path, "shared")
		helpers = append(helpers, h)
		sandboxes[h.Pid()] = name
	}
	names := func(pid int) string { return sandboxes[pid] }
	_, err := Lock(path, Exclusive, names)
	refused(t, err, fault.State, `"a"`, `"b"`, `"c"`, "held shared", "attach it read-only")

	helpers[0].Kill()
	_, err = Lock(path, Exclusive, names)
	refused(t, err, fault.State, `"b"`, `"c"`)
	require.NotContains(t, err.Error(), `"a"`, "one that has ended is not named")

	helpers[1].Kill()
	helpers[2].Kill()
	free(t, path)
}

func TestConflictListIsBounded(t *testing.T) {
	path := image(t)
	for range 6 {
		holding(t, nil, "lock", path, "shared")
	}
	_, err := Lock(path, Exclusive, nil)
	refused(t, err, fault.State, ", 2 more;")
}

func TestConflictInOneProcess(t *testing.T) {
	path := image(t)
	h, err := Lock(path, Shared, nil)
	require.NoError(t, err)
	require.Equal(t, path, h.Path())
	require.Equal(t, Shared, h.Mode())
	_, err = Lock(path, Exclusive, nil)
	refused(t, err, fault.State, fmt.Sprintf("this process (pid %d)", os.Getpid()))
	again, err := Lock(path, Shared, nil)
	require.NoError(t, err)
	require.NoError(t, again.Close())
	require.NoError(t, h.Close())
	free(t, path)
}

func TestOneOfManyWins(t *testing.T) {
	path := image(t)
	var won atomic.Int32
	var wait sync.WaitGroup
	held := make([]*Held, 16)
	for i := range held {
		wait.Go(func() {
			if h, err := Lock(path, Exclusive, nil); err == nil {
				won.Add(1)
				held[i] = h
			}
		})
	}
	wait.Wait()
	require.Equal(t, int32(1), won.Load())
	for _, h := range held {
		if h != nil {
			h.Close()
		}
	}
	free(t, path)
}

func TestLinksLeadToTheSameLock(t *testing.T) {
	path := image(t)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(path, link))
	hard := filepath.Join(filepath.Dir(path), "hard")
	require.NoError(t, os.Link(path, hard))
	h, err := Lock(link, Exclusive, nil)
	require.NoError(t, err)
	defer h.Close()
	for _, other := range []string{path, link, hard, filepath.Dir(path) + "/../" + filepath.Base(filepath.Dir(path)) + "/image"} {
		_, err := Lock(other, Shared, nil)
		refused(t, err, fault.State, fmt.Sprintf("%q", other))
	}
}

func TestImagesThatCannotBeLocked(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	file := image(t)
	require.NoError(t, os.Symlink("/nowhere", in("dangling")))
	require.NoError(t, os.Symlink(in("circle"), in("circle")))
	require.NoError(t, os.Symlink(file, in("link")))
	require.NoError(t, unix.Mkfifo(in("fifo"), 0o600))
	require.NoError(t, os.WriteFile(in("readonly"), nil, 0o444))
	require.NoError(t, os.WriteFile(in("unreadable"), nil, 0))
	listener, err := net.Listen("unix", in("socket"))
	require.NoError(t, err)
	defer listener.Close()
	for name, c := range map[string]struct {
		path string
		mode Mode
		code fault.Code
		want string // "" can be locked
	}{
		"file":                 {file, Exclusive, 0, ""},
		"link":                 {in("link"), Exclusive, 0, ""},
		"read-only, shared":    {in("readonly"), Shared, 0, ""},
		"read-only, exclusive": {in("readonly"), Exclusive, fault.Permission, "attach it read-only"},
		"unreadable":           {in("unreadable"), Shared, fault.Permission, "must be able to read it"},
		"missing":              {in("missing"), Shared, fault.NotFound, "no such file"},
		"dangling link":        {in("dangling"), Shared, fault.NotFound, `link to "/nowhere", which leads nowhere`},
		"circle":               {in("circle"), Shared, fault.Invalid, "circles"},
		"below a file":         {file + "/x", Shared, fault.NotFound, "not a directory"},
		"directory":            {dir, Shared, fault.Invalid, "is a directory"},
		"directory, exclusive": {dir, Exclusive, fault.Invalid, "is a directory"},
		"fifo":                 {in("fifo"), Shared, fault.Invalid, "is a FIFO"},
		"socket":               {in("socket"), Shared, fault.Invalid, "is a socket"},
		"device":               {"/dev/null", Exclusive, fault.Invalid, "is a device"},
		"link of /proc":        {"/proc/self/exe", Shared, fault.Invalid, "link of /proc"},
		"relative":             {"image", Shared, fault.Invalid, "must be absolute"},
		"empty":                {"", Shared, fault.Invalid, "path is missing"},
		"NUL":                  {"/a\x00b", Shared, fault.Invalid, "NUL byte"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.code == fault.Permission && os.Geteuid() == 0 {
				t.Skip("needs a user who is not root")
			}
			before := descriptors(t)
			h, err := Lock(c.path, c.mode, nil)
			if c.want != "" {
				require.Nil(t, h)
				refused(t, err, c.code, c.want)
			} else {
				require.NoError(t, err)
				require.NoError(t, h.Close())
			}
			require.Equal(t, before, descriptors(t))
		})
	}
}

func TestCannotLockSaysWhatToDo(t *testing.T) {
	refused(t, cannotLock(unix.EOPNOTSUPP, "/i"), fault.Unsupported, "has no locks")
	refused(t, cannotLock(unix.EIO, "/i"), fault.IO, `disk image "/i": lock`)
}
