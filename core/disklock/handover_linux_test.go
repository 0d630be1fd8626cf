package disklock

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestUnrelatedChildHoldsNothing(t *testing.T) {
	path := image(t)
	h, err := Lock(path, Exclusive, nil)
	require.NoError(t, err)
	holding(t, nil, "idle")
	require.NoError(t, h.Close())
	free(t, path)
}

func TestAdoptedLockLivesAsLongAsItsProcess(t *testing.T) {
	// 96 and above: numbers that a launcher might use for descriptors of its own.
	for _, fd := range []int{3, 96, 97, 98} {
		for _, mode := range []Mode{Shared, Exclusive} {
			t.Run(fmt.Sprintf("%d %s", fd, mode), func(t *testing.T) {
				path := image(t)
				h, err := Lock(path, mode, nil)
				require.NoError(t, err)
				files := make([]*os.File, fd-2)
				files[fd-3] = h.File()
				verbMode := map[Mode]string{Shared: "shared", Exclusive: "exclusive"}[mode]
				supervisor := holding(t, files, "adopt", path, verbMode, fmt.Sprint(fd))
				require.NoError(t, h.Close())

				_, err = Lock(path, Exclusive, nil)
				refused(t, err, fault.State, fmt.Sprintf("process %d", supervisor.Pid()))
				require.NotContains(t, err.Error(), fmt.Sprintf("pid %d", os.Getpid()), "we took it and hold it no more")
				supervisor.Kill()
				free(t, path)
			})
		}
	}
}

// TestCopyMadeByForkKeepsAHandedOverLock and the next test show why the second
// way is the better one.
func TestCopyMadeByForkKeepsAHandedOverLock(t *testing.T) {
	path := image(t)
	h, err := Lock(path, Exclusive, nil)
	require.NoError(t, err)
	supervisor := holding(t, []*os.File{h.File()}, "adopt", path, "exclusive", "3")
	forked := holding(t, []*os.File{h.File()}, "idle")
	require.NoError(t, h.Close())
	supervisor.Kill()
	_, err = Lock(path, Shared, nil)
	refused(t, err, fault.State, fmt.Sprintf("process %d", forked.Pid()))
	forked.Kill()
	free(t, path)
}

func TestCopyMadeByForkKeepsNoLockOfTheSupervisor(t *testing.T) {
	path := image(t)
	file, err := Open(path)
	require.NoError(t, err)
	defer file.Close()
	supervisor := holding(t, []*os.File{file}, "lock-file", path, "exclusive")
	holding(t, []*os.File{file}, "idle")
	_, err = Lock(path, Shared, nil)
	refused(t, err, fault.State, fmt.Sprintf("process %d", supervisor.Pid()))
	supervisor.Kill()
	free(t, path)
}

func TestEngineIsNotNamedBesideItsSupervisor(t *testing.T) {
	path := image(t)
	h, err := Lock(path, Exclusive, nil)
	require.NoError(t, err)
	supervisor := holding(t, []*os.File{h.File()}, "adopt-and-spawn", path, "exclusive", "3")
	names := func(pid int) string {
		if pid == supervisor.Pid() {
			return "web"
		}
		return ""
	}
	// Three processes have it: this one, its child, and that one's child.
	all, err := Holders(h.File(), nil)
	require.NoError(t, err)
	require.Len(t, all, 3)
	known, err := Holders(h.File(), names)
	require.NoError(t, err)
	require.Len(t, known, 1)
	require.Equal(t, Holder{Pid: supervisor.Pid(), UID: uint32(os.Geteuid()), Command: known[0].Command, Sandbox: "web", Mode: Exclusive}, known[0])
	require.NoError(t, h.Close())
}

func TestAdoptChecksTheDescriptor(t *testing.T) {
	path, dir := image(t), t.TempDir()
	for name, c := range map[string]struct {
		path  string
		flags int
		mode  Mode
		want  string // "" is accepted
	}{
		"shared":            {path, unix.O_RDONLY, Shared, ""},
		"exclusive":         {path, unix.O_RDWR, Exclusive, ""},
		"shared, writable":  {path, unix.O_RDWR, Shared, "for a lock that is shared"},
		"exclusive, ro":     {path, unix.O_RDONLY, Exclusive, "for a lock that is exclusive"},
		"exclusive, wo":     {path, unix.O_WRONLY, Exclusive, "for a lock that is exclusive"},
		"without content":   {path, unix.O_PATH, Shared, "for a lock that is shared"},
		"directory":         {dir, unix.O_RDONLY, Shared, "is a directory"},
		"device":            {"/dev/null", unix.O_RDWR, Exclusive, "is a device"},
		"device, by O_PATH": {"/dev/null", unix.O_PATH, Shared, "is a device"},
	} {
		t.Run(name, func(t *testing.T) {
			before := descriptors(t)
			fd, err := unix.Open(c.path, c.flags, 0)
			require.NoError(t, err)
			h, err := Adopt(os.NewFile(uintptr(fd), c.path), c.path, c.mode, nil)
			if c.want != "" {
				refused(t, err, fault.Invalid, c.want)
			} else {
				require.NoError(t, err)
				flags, err := unix.FcntlInt(h.File().Fd(), unix.F_GETFD, 0)
				require.NoError(t, err)
				require.Equal(t, unix.FD_CLOEXEC, flags)
				require.NoError(t, h.Close())
			}
			require.Equal(t, before, descriptors(t))
		})
	}
}

// TestAdoptKeepsTheLock: to lock again through the same open file description
// must not give the lock up for a moment, nor take it twice.
func TestAdoptKeepsTheLock(t *testing.T) {
	path := image(t)
	h, err := Lock(path, Exclusive, nil)
	require.NoError(t, err)
	fd, err := unix.FcntlInt(h.File().Fd(), unix.F_DUPFD_CLOEXEC, 3)
	require.NoError(t, err)
	dup, err := Adopt(os.NewFile(uintptr(fd), path), path, Exclusive, nil)
	require.NoError(t, err)
	require.NoError(t, h.Close())
	_, err = Lock(path, Shared, nil)
	refused(t, err, fault.State)
	require.NoError(t, dup.Close())
	free(t, path)
}
