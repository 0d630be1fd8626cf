package mounts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/disklock"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	rootimage "github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func createWhile(t testing.TB, o core.Options, meanwhile func()) (*core.Sandbox, error) {
	t.Helper()
	sb, err := core.Create(o)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { harness.End(t, sb) })
	meanwhile()
	harness.Wait(t, sb.Ready(), "the sandbox to be ready")
	return sb, sb.StartErr()
}

// exclusive tells whether another process can lock the image for writing now.
func exclusive(t testing.TB, path string) bool {
	t.Helper()
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Skip("needs flock of util-linux")
	}
	return exec.Command(flock, "--exclusive", "--nonblock", path, "true").Run() == nil
}

// reader starts a process that has the image locked for reading.
func reader(t testing.TB, path string) *exec.Cmd {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	require.NoError(t, unix.Flock(int(file.Fd()), unix.LOCK_SH))
	cmd := exec.Command("cat")
	cmd.ExtraFiles = []*os.File{file}
	_, err = cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, file.Close())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// locked are the ways in which a sandbox has an image.
func locked(t *testing.T) map[string]func(path string) core.Options {
	return map[string]func(string) core.Options{
		"mount": func(path string) core.Options {
			return with(t, mounts.Spec{Kind: mounts.EROFS, Source: path, Target: "/image"})
		},
		"root": func(path string) core.Options {
			o := with(t)
			o.Root = rootimage.Root{Kind: rootimage.EROFS, Path: path}
			return o
		},
	}
}

// TestImageIsLockedAsLongAsTheSupervisorLives: until its end, and its SIGKILL.
func TestImageIsLockedAsLongAsTheSupervisorLives(t *testing.T) {
	for kind, options := range locked(t) {
		for _, end := range []string{"close", "kill"} {
			t.Run(kind+" "+end, func(t *testing.T) {
				path := image(t)
				sb := harness.Create(t, options(path))
				require.False(t, exclusive(t, path))
				twin := harness.Create(t, options(path))
				harness.End(t, twin)
				require.False(t, exclusive(t, path), "the first one lives")
				if end == "kill" {
					require.NoError(t, unix.Kill(int(sb.Pid()), unix.SIGKILL))
					harness.Wait(t, sb.Done(), "the sandbox to be gone")
				} else {
					harness.End(t, sb)
				}
				require.True(t, exclusive(t, path))
			})
		}
	}
}

// TestImageThatIsHeldIsRefused: with the holder's process id.
func TestImageThatIsHeldIsRefused(t *testing.T) {
	for kind, options := range locked(t) {
		t.Run(kind, func(t *testing.T) {
			path := image(t)
			held, err := disklock.Lock(path, disklock.Exclusive, nil)
			require.NoError(t, err)
			e := refused(t, options(path))
			held.Close()
			require.Equal(t, fault.State, e.Code, e.Message)
			require.Equal(t, unix.EBUSY, e.Errno)
			require.Equal(t, fault.StageRoot, e.Stage)
			require.Contains(t, e.Message, path)
			require.Contains(t, e.Message, "exclusive")
			require.Contains(t, e.Message, fmt.Sprintf("process %d", os.Getpid()))
			harness.Create(t, options(path))
		})
	}
}

// TestConflictNamesTheSandbox: with what supervisors ask for the name. A process that
// has nothing to do with sandboxes is named as such beside it.
func TestConflictNamesTheSandbox(t *testing.T) {
	for kind, options := range locked(t) {
		t.Run(kind, func(t *testing.T) {
			path := image(t)
			o := options(path)
			o.Name = "the reader"
			sb := harness.Create(t, o)
			root, err := store.OpenExistingRoot(o.State.Dir)
			require.NoError(t, err)
			defer root.Close()
			_, err = disklock.Lock(path, disklock.Exclusive, root.NameOf)
			e := fault.From(err)
			require.Equal(t, fault.State, e.Code, e.Message)
			require.Equal(t, fmt.Sprintf("disk image %q: no exclusive (read-write) lock: held shared (read-only) by "+
				"sandbox \"the reader\" (pid %d); wait for them to end, or attach it read-only", path, sb.Pid()), e.Message)

			stranger := reader(t, path)
			_, err = disklock.Lock(path, disklock.Exclusive, root.NameOf)
			require.ErrorContains(t, err, fmt.Sprintf("sandbox \"the reader\" (pid %d)", sb.Pid()))
			require.ErrorContains(t, err, fmt.Sprintf("process %d (", stranger.Process.Pid))
			require.NoError(t, stranger.Process.Kill())
			stranger.Wait()
			harness.End(t, sb)
			free, err := disklock.Lock(path, disklock.Exclusive, root.NameOf)
			require.NoError(t, err)
			require.NoError(t, free.Close())
		})
	}
}

func TestImageTwiceInOneSandbox(t *testing.T) {
	path := image(t)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(path, link))
	hard := filepath.Join(filepath.Dir(path), "hard")
	require.NoError(t, os.Link(path, hard))
	for _, second := range []string{path, link, hard, filepath.Dir(path) + "/../" + filepath.Base(filepath.Dir(path)) + "/data.img"} {
		e := refused(t, with(t, mounts.Spec{Kind: mounts.EROFS, Source: path, Target: "/a"}, mounts.Spec{Kind: mounts.EROFS, Source: second, Target: "/b"}))
		require.Equal(t, fault.Invalid, e.Code, e.Message)
		require.Contains(t, e.Message, "attach it once")
	}
	o := with(t, mounts.Spec{Kind: mounts.EROFS, Source: link, Target: "/b"})
	o.Root = rootimage.Root{Kind: rootimage.EROFS, Path: path}
	require.Contains(t, refused(t, o).Message, "attach it once")
	copied := image(t)
	sb := harness.Create(t, with(t, mounts.Spec{Kind: mounts.EROFS, Source: path, Target: "/a"}, mounts.Spec{Kind: mounts.EROFS, Source: copied, Target: "/b"}))
	require.Equal(t, "given\ngiven\n", harness.Output(t, sb, "cat /a/file /b/file"))
}

// TestNoLockInTheHost: the host program neither holds the lock nor keeps it.
func TestNoLockInTheHost(t *testing.T) {
	path := image(t)
	harness.NoLeaks(t)
	sb := harness.Create(t, with(t, mounts.Spec{Kind: mounts.EROFS, Source: path, Target: "/image"}))
	f, err := disklock.Open(path)
	require.NoError(t, err)
	defer f.Close()
	holders, err := disklock.Holders(f, nil)
	require.NoError(t, err)
	require.Len(t, holders, 1)
	require.Equal(t, int(sb.Pid()), holders[0].Pid)
}
