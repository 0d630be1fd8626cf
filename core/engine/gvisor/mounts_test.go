package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// withMounts opens the mounts for a configuration.
func withMounts(t testing.TB, cfg engine.Config, specs ...mounts.Spec) engine.Config {
	t.Helper()
	sources, err := mounts.OpenAll(specs)
	require.NoError(t, err)
	t.Cleanup(func() { mounts.CloseAll(sources) })
	cfg.Mounts = sources
	return cfg
}

// bootRefused boots a machine that must be refused, and returns why.
func bootRefused(t testing.TB, cfg engine.Config) *fault.Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	m, err := New().Boot(ctx, cfg)
	if err == nil {
		m.Close()
	}
	require.Error(t, err)
	return fault.From(err)
}

// sharedDir makes a directory that is mounted: it is shorter than t.TempDir, and
// below a directory that other users can search.
func sharedDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "msb-shared-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("of the host\n"), 0o600))
	return dir
}

// rootKinds are the roots that mounts are tried in.
var rootKinds = map[string]func(t *testing.T) image.Root{
	"host":  func(*testing.T) image.Root { return image.Root{} },
	"dir":   func(t *testing.T) image.Root { return busyboxRoot(t) },
	"erofs": func(t *testing.T) image.Root { return erofsRoot(t, busyboxRoot(t).Path) },
}

// TestBinds is the matrix of docs/engines.md for the caller that runs it.
func TestBinds(t *testing.T) {
	for kind, root := range rootKinds {
		t.Run(kind, func(t *testing.T) {
			dir, readOnly := sharedDir(t), sharedDir(t)
			owner := "0" // without privileges the caller is the guest's root
			if os.Geteuid() == 0 {
				err := errors.Join(os.Chown(filepath.Join(dir, "file"), 1000, 1000), os.Chown(filepath.Join(readOnly, "file"), 1000, 1000))
				if !errors.Is(err, unix.EINVAL) { // in a user namespace with one id only
					require.NoError(t, err)
					owner = "1000" // and with them owners are those on disk
				}
			}
			m := bootMachine(t, withMounts(t, newConfig(t, root(t)),
				mounts.Spec{Source: dir, Target: "/data/rw"}, mounts.Spec{Source: readOnly, Target: "/data/ro", ReadOnly: true}))
			for _, at := range []string{"/data/rw", "/data/ro"} {
				require.Equal(t, "of the host", output(t, m, "cat", at+"/file"))
				require.Equal(t, owner, output(t, m, "stat", "-c", "%u", at+"/file"))
				require.Equal(t, "0", output(t, m, "stat", "-c", "%u", at))
			}

			output(t, m, "sh", "-c", "echo new > /data/rw/made && echo more >> /data/rw/file && mkdir /data/rw/dir && mv /data/rw/made /data/rw/dir")
			made, err := os.ReadFile(filepath.Join(dir, "dir/made"))
			require.NoError(t, err)
			require.Equal(t, "new\n", string(made), "a change reaches the host")
			var st unix.Stat_t
			require.NoError(t, unix.Stat(filepath.Join(dir, "dir/made"), &st))
			require.Equal(t, os.Geteuid(), int(st.Uid), "the guest's root is the caller there")
			require.NoError(t, os.WriteFile(filepath.Join(dir, "later"), []byte("later"), 0o600))
			require.Equal(t, "later", output(t, m, "cat", "/data/rw/later"), "a change of the host reaches the guest")

			for _, change := range []string{"echo x > /data/ro/new", "echo x >> /data/ro/file", "rm /data/ro/file", "mkdir /data/ro/d", "chmod 777 /data/ro/file", "mv /data/ro/file /data/ro/g"} {
				r := run(t, m, "sh", "-c", change)
				require.NotZero(t, r.Status.ExitStatus(), change)
				require.Contains(t, r.Err, "Read-only file system", change)
			}
			entries, err := os.ReadDir(readOnly)
			require.NoError(t, err)
			require.Len(t, entries, 1)

			siblings := output(t, m, "ls", "-a", "/data/rw/..")
			require.Equal(t, []string{".", "..", "ro", "rw"}, strings.Fields(siblings), "nothing of the directory's parents is visible")
		})
	}
}

// TestLinksInASource are the guest's own, whoever made them.
func TestLinksInASource(t *testing.T) {
	parent := sharedDir(t)
	dir := filepath.Join(parent, "dir")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Symlink("../file", filepath.Join(dir, "up")))
	require.NoError(t, os.Symlink(filepath.Join(parent, "file"), filepath.Join(dir, "absolute")))
	m := bootMachine(t, withMounts(t, newConfig(t, busyboxRoot(t)), mounts.Spec{Source: dir, Target: "/data"}))
	output(t, m, "ln", "-s", "../../../../.."+filepath.Join(parent, "file"), "/data/far")
	for _, link := range []string{"up", "absolute", "far"} {
		require.Contains(t, run(t, m, "cat", "/data/"+link).Err, "No such file", link)
	}
	output(t, m, "sh", "-c", "echo guest > /file && cat /data/up")
	data, err := os.ReadFile(filepath.Join(parent, "file"))
	require.NoError(t, err)
	require.Equal(t, "of the host\n", string(data))
}

// TestBindsOfOtherUsers: with privileges, ids in the guest are those on disk.
func TestBindsOfOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for files of other users")
	}
	dir := sharedDir(t)
	require.NoError(t, os.Chmod(dir, 0o777))
	root := busyboxRoot(t)
	require.NoError(t, os.Chmod(root.Path, 0o755))
	m := bootMachine(t, withMounts(t, newConfig(t, root), mounts.Spec{Source: dir, Target: "/data"}))
	r, err := spawn(t, m, engine.Program{Argv: []string{"sh", "-c", "echo x > /data/mine; cat /data/file"}, UID: 1000, GID: 1001})
	require.NoError(t, err)
	require.Contains(t, r.Result().Err, "Permission denied", "a file of root with mode 0600")
	var st unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(dir, "mine"), &st))
	require.Equal(t, [2]uint32{1000, 1001}, [2]uint32{st.Uid, st.Gid})
}

// TestFileBinds mounts single files, in each root.
func TestFileBinds(t *testing.T) {
	for kind, root := range rootKinds {
		t.Run(kind, func(t *testing.T) {
			dir := sharedDir(t)
			file, fixed := filepath.Join(dir, "file"), filepath.Join(dir, "fixed")
			require.NoError(t, os.WriteFile(fixed, []byte("fixed"), 0o600))
			m := bootMachine(t, withMounts(t, newConfig(t, root(t)),
				mounts.Spec{Source: file, Target: "/etc/given.conf"}, mounts.Spec{Source: fixed, Target: "/a/b/fixed", ReadOnly: true}))
			output(t, m, "sh", "-c", "cat /etc/given.conf && echo changed > /etc/given.conf")
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, "changed\n", string(data))

			r := run(t, m, "sh", "-c", "echo x > /a/b/fixed")
			require.Contains(t, r.Err, "Read-only file system")
			require.Equal(t, "fixed", output(t, m, "ls", "/a/b"), "no siblings")
			require.Contains(t, run(t, m, "sh", "-c", "echo y > /a/b/y && mv /a/b/y /a/b/fixed").Err, "busy", "a mount point cannot be renamed over")

			require.NoError(t, os.WriteFile(file+".new", []byte("replaced"), 0o600))
			require.NoError(t, os.Rename(file+".new", file))
			require.Equal(t, "changed", output(t, m, "cat", "/etc/given.conf"), "the file that was opened stays, as in Linux")
		})
	}
}

// TestRootStaysUnchanged: targets that are missing are made in memory.
func TestRootStaysUnchanged(t *testing.T) {
	root := busyboxRoot(t)
	outer, inner := sharedDir(t), sharedDir(t)
	m := bootMachine(t, withMounts(t, newConfig(t, root),
		mounts.Spec{Source: outer, Target: "/new/place", ReadOnly: true}, mounts.Spec{Source: inner, Target: "/new/place/deep/inside"},
		mounts.Spec{Kind: mounts.Tmpfs, Target: "/new/place/scratch"}))
	require.Equal(t, "of the host", output(t, m, "cat", "/new/place/deep/inside/file"))
	output(t, m, "touch", "/new/place/scratch/x", "/new/place/deep/inside/x")
	require.NotZero(t, run(t, m, "touch", "/new/place/x").Status.ExitStatus())
	require.NoDirExists(t, filepath.Join(root.Path, "new"))
	require.NoDirExists(t, filepath.Join(outer, "deep"))
	require.NoDirExists(t, filepath.Join(outer, "scratch"))
	require.FileExists(t, filepath.Join(inner, "x"))
}

func TestTmpfsMounts(t *testing.T) {
	for kind, root := range rootKinds {
		t.Run(kind, func(t *testing.T) {
			m := bootMachine(t, withMounts(t, newConfig(t, root(t)),
				mounts.Spec{Kind: mounts.Tmpfs, Target: "/scratch", SizeBytes: 1 << 20},
				mounts.Spec{Kind: mounts.Tmpfs, Target: "/tmp", SizeBytes: 2 << 20},
				mounts.Spec{Kind: mounts.Tmpfs, Target: "/fixed", SizeBytes: 4096, ReadOnly: true}))
			for at, kib := range map[string]int{"/scratch": 1024, "/tmp": 2048} {
				output(t, m, "dd", "if=/dev/zero", "of="+at+"/fits", "bs=1k", fmt.Sprint("count=", kib))
				r := run(t, m, "dd", "if=/dev/zero", "of="+at+"/more", "bs=1k", "count=8")
				require.NotZero(t, r.Status.ExitStatus(), at)
				require.Contains(t, r.Err, "No space left")
			}
			require.Contains(t, run(t, m, "touch", "/fixed/x").Err, "Read-only file system")
		})
	}
}

func TestEROFSMounts(t *testing.T) {
	data := sharedDir(t)
	if os.Geteuid() == 0 {
		require.NoError(t, unix.Mknod(filepath.Join(data, "device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11))))
	}
	img := erofsRoot(t, data).Path
	for kind, root := range rootKinds {
		t.Run(kind, func(t *testing.T) {
			m := bootMachine(t, withMounts(t, newConfig(t, root(t)), mounts.Spec{Kind: mounts.EROFS, Source: img, Target: "/image"}))
			require.Equal(t, "of the host", output(t, m, "cat", "/image/file"))
			require.Contains(t, run(t, m, "sh", "-c", "echo x > /image/file").Err, "Read-only file system")
			if os.Geteuid() == 0 {
				require.NotZero(t, run(t, m, "head", "-c1", "/image/device").Status.ExitStatus(), "a device of an image")
			}
		})
	}
}

func TestMountFlags(t *testing.T) {
	dir := sharedDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "script"), []byte("#!/bin/sh\necho ran\n"), 0o755))
	if os.Geteuid() == 0 {
		require.NoError(t, unix.Mknod(filepath.Join(dir, "device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11))))
	}
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666))
	m := bootMachine(t, withMounts(t, newConfig(t, busyboxRoot(t)),
		mounts.Spec{Source: dir, Target: "/exec"}, mounts.Spec{Source: dir, Target: "/noexec", NoExec: true, NoSUID: true, NoDev: true},
		mounts.Spec{Kind: mounts.Tmpfs, Target: "/plain"}, mounts.Spec{Kind: mounts.Tmpfs, Target: "/inert", NoExec: true}))
	require.Equal(t, "ran", output(t, m, "/exec/script"))
	_, err := spawn(t, m, engine.Program{Argv: []string{"/noexec/script"}})
	require.ErrorIs(t, err, unix.EACCES)
	require.Equal(t, "ran", output(t, m, "sh", "-c", "cp /exec/script /plain && /plain/script"))
	require.Contains(t, run(t, m, "sh", "-c", "cp /exec/script /inert && /inert/script").Err, "Permission denied")
	require.Contains(t, output(t, m, "grep", " /noexec ", "/proc/self/mountinfo"), "nosuid")
	if os.Geteuid() == 0 {
		require.NotZero(t, run(t, m, "head", "-c1", "/exec/device").Status.ExitStatus(), "no device of the host is opened, whatever the flags")
	}
	require.NotZero(t, run(t, m, "sh", "-c", "echo x <> /exec/fifo 1>&0").Status.ExitStatus(), "nor a FIFO")
}

// TestSourceSwappedBeforeBoot: it does not matter what the path leads to later.
func TestSourceSwappedBeforeBoot(t *testing.T) {
	parent := sharedDir(t)
	dir := filepath.Join(parent, "dir")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "who"), []byte("opened"), 0o600))
	cfg := withMounts(t, newConfig(t, busyboxRoot(t)), mounts.Spec{Source: dir, Target: "/data"})
	require.NoError(t, os.Rename(dir, dir+".away"))
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "who"), []byte("swapped"), 0o600))
	require.Equal(t, "opened", output(t, bootMachine(t, cfg), "cat", "/data/who"))
}

// TestSourceRemovedBeforeBoot: the kernel mounts nothing that has been removed.
func TestSourceRemovedBeforeBoot(t *testing.T) {
	dir := filepath.Join(sharedDir(t), "dir")
	require.NoError(t, os.Mkdir(dir, 0o755))
	cfg := withMounts(t, newConfig(t, busyboxRoot(t)), mounts.Spec{Source: dir, Target: "/data"})
	require.NoError(t, os.Remove(dir))
	e := bootRefused(t, cfg)
	require.Equal(t, fault.NotFound, e.Code, e.Message)
	require.Contains(t, e.Message, dir)
}

// TestFileInAWritableBind: the one case in which a target is made on the host.
func TestFileInAWritableBind(t *testing.T) {
	dir, other := sharedDir(t), sharedDir(t)
	m := bootMachine(t, withMounts(t, newConfig(t, busyboxRoot(t)), mounts.Spec{Source: dir, Target: "/data"},
		mounts.Spec{Source: filepath.Join(other, "file"), Target: "/data/shown"}))
	require.Equal(t, "of the host", output(t, m, "cat", "/data/shown"))
	data, err := os.ReadFile(filepath.Join(dir, "shown"))
	require.NoError(t, err)
	require.Empty(t, data)
	e := bootRefused(t, withMounts(t, newConfig(t, busyboxRoot(t)), mounts.Spec{Source: other, Target: "/data", ReadOnly: true},
		mounts.Spec{Source: filepath.Join(dir, "file"), Target: "/data/new"}))
	require.Equal(t, fault.Invalid, e.Code, e.Message)
}

// TestSourceBelowAPrivateDirectory: the caller may reach it, so may the mount.
func TestSourceBelowAPrivateDirectory(t *testing.T) {
	parent := sharedDir(t)
	dir := filepath.Join(parent, "a b", "c\xff\n")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o700))
	m := bootMachine(t, withMounts(t, newConfig(t, busyboxRoot(t)), mounts.Spec{Source: dir, Target: "/data"}))
	output(t, m, "touch", "/data/x")
	require.FileExists(t, filepath.Join(dir, "x"))
}

// TestTargetsThroughLinks: links of the root are followed within it.
func TestTargetsThroughLinks(t *testing.T) {
	root := busyboxRoot(t)
	for name, to := range map[string]string{
		"inside": "/etc", "up": "../../../../etc", "through": "/proc", "dangling": "/nowhere", "round": "/round", "top": "/",
	} {
		require.NoError(t, os.Symlink(to, filepath.Join(root.Path, name)))
	}
	require.NoError(t, os.WriteFile(filepath.Join(root.Path, "plain"), nil, 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(root.Path, "proc"), 0o755))
	dir := sharedDir(t)
	m := bootMachine(t, withMounts(t, newConfig(t, root),
		mounts.Spec{Source: dir, Target: "/inside/a"}, mounts.Spec{Source: dir, Target: "/up/b"},
		mounts.Spec{Source: dir, Target: "/top/c"}, mounts.Spec{Kind: mounts.Tmpfs, Target: "/inside/a/d"}))
	for _, at := range []string{"/etc/a", "/etc/b", "/c"} {
		require.Equal(t, "of the host", output(t, m, "cat", at+"/file"))
	}
	output(t, m, "touch", "/etc/a/d/x")
	require.NoFileExists(t, filepath.Join(dir, "d/x"))

	for target, want := range map[string]string{
		"/through/x": "belongs to the sandbox", "/dangling": "leads nowhere", "/dangling/x": "leads nowhere", "/round/x": "too many levels",
		"/top": "belongs to the sandbox", "/plain": "is a file in the root", "/plain/x": `"/plain" is a file`, "/inside": "",
	} {
		t.Run(target, func(t *testing.T) {
			cfg := withMounts(t, newConfig(t, root), mounts.Spec{Source: dir, Target: target})
			if want == "" {
				require.Contains(t, output(t, bootMachine(t, cfg), "ls", "/etc"), "file")
				return
			}
			e := bootRefused(t, cfg)
			require.Equal(t, fault.StageRoot, e.Stage)
			require.Contains(t, e.Message, want)
			require.NotContains(t, e.Message, "\n")
		})
	}
	e := bootRefused(t, withMounts(t, newConfig(t, root), mounts.Spec{Source: dir, Target: "/inside/x"}, mounts.Spec{Source: dir, Target: "/up/x"}))
	require.Contains(t, e.Message, "same place")
	e = bootRefused(t, withMounts(t, newConfig(t, root), mounts.Spec{Source: filepath.Join(dir, "file"), Target: "/etc"}))
	require.Contains(t, e.Message, "the source is a file")
}

// TestTargetsInTheHostRoot: room beside and below the toolchain, none in its place.
func TestTargetsInTheHostRoot(t *testing.T) {
	dir := sharedDir(t)
	m := bootMachine(t, withMounts(t, newConfig(t, image.Root{}), mounts.Spec{Source: dir, Target: "/usr/local/given"},
		mounts.Spec{Source: dir, Target: image.HostWork}))
	require.Equal(t, "of the host", output(t, m, "cat", "/usr/local/given/file"))
	require.Equal(t, "of the host", output(t, m, "cat", "file"), "the working directory")
	require.NoDirExists(t, "/usr/local/given")
	require.Contains(t, bootRefused(t, withMounts(t, newConfig(t, image.Root{}), mounts.Spec{Source: dir, Target: "/usr"})).Message, "the host root shows /usr")
}

func TestManyMounts(t *testing.T) {
	var specs []mounts.Spec
	dir := sharedDir(t)
	for i := range mounts.MaxMounts {
		specs = append(specs, mounts.Spec{Source: dir, Target: fmt.Sprintf("/m/%d", i), ReadOnly: i%2 == 0})
	}
	m := bootMachine(t, withMounts(t, newConfig(t, busyboxRoot(t)), specs...))
	require.Equal(t, "64", output(t, m, "sh", "-c", "cat /m/*/file | wc -l"))
	require.Contains(t, strings.Join(m.Receipt(), "\n"), "mounts: 64, 32 of them writable")
}

func TestTargetThatIsNotUTF8(t *testing.T) {
	e := bootRefused(t, withMounts(t, newConfig(t, busyboxRoot(t)), mounts.Spec{Source: sharedDir(t), Target: "/a\xff"}))
	require.Equal(t, fault.Unsupported, e.Code)
	require.Contains(t, e.Message, "not UTF-8")
}

// TestRecursiveSource: file systems that are mounted below a source come along.
func TestRecursiveSource(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a tmpfs")
	}
	dir := sharedDir(t)
	below := filepath.Join(dir, "below")
	require.NoError(t, os.Mkdir(below, 0o755))
	if err := unix.Mount("tmpfs", below, "tmpfs", 0, "size=4096"); err != nil {
		t.Skipf("needs mount of tmpfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(below, unix.MNT_DETACH) })
	require.NoError(t, os.WriteFile(filepath.Join(below, "x"), []byte("below"), 0o644))
	m := bootMachine(t, withMounts(t, newConfig(t, busyboxRoot(t)), mounts.Spec{Source: dir, Target: "/data", ReadOnly: true}))
	require.Equal(t, "below", output(t, m, "cat", "/data/below/x"))
	require.Contains(t, run(t, m, "touch", "/data/below/y").Err, "Read-only file system")
}

// TestBindWithoutIDMapping: root's guest has no ids there, so it could not write.
func TestBindWithoutIDMapping(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount a ramfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("ramfs", dir, "ramfs", 0, "mode=755"); err != nil {
		t.Skipf("needs mount of ramfs: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "public"), []byte("p"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), []byte("s"), 0o600))
	e := bootRefused(t, withMounts(t, newConfig(t, busyboxRoot(t)), mounts.Spec{Source: dir, Target: "/data"}))
	require.Equal(t, fault.Unsupported, e.Code)
	require.Contains(t, e.Message, "cannot map owners")

	m := bootMachine(t, withMounts(t, newConfig(t, busyboxRoot(t)), mounts.Spec{Source: dir, Target: "/data", ReadOnly: true}))
	require.Equal(t, "p", output(t, m, "cat", "/data/public"))
	require.Equal(t, "65534", output(t, m, "stat", "-c", "%u", "/data/public"))
	require.NotZero(t, run(t, m, "cat", "/data/secret").Status.ExitStatus())
	require.Contains(t, strings.Join(m.Receipt(), "\n"), "mount /data: access rights of others")
}
