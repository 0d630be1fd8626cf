package escape

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// newTree is a root of this test's own that the host may change meanwhile.
func newTree(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "root")
	require.NoError(t, exec.Command("cp", "-a", harness.DirRoot(t).Path, dir).Run())
	return dir
}

func inTree(t *testing.T, dir string, probes string) *core.Sandbox {
	o := harness.Options(t)
	o.Root = image.Root{Kind: image.Dir, Path: dir}
	sb := harness.Create(t, o)
	upload(t, sb, probes)
	return sb
}

// digest covers all that a write to a tree would change, times of change included.
func digest(t *testing.T, dir string) string {
	t.Helper()
	sum := sha256.New()
	require.NoError(t, filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(path, &st)
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(sum, path, st.Mode, st.Uid, st.Gid, st.Nlink, st.Size, st.Mtim, st.Ctim, st.Ino)
		if st.Mode&unix.S_IFMT == unix.S_IFREG {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(sum, f)
			return err
		}
		return nil
	}))
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// destroy is what a guest can do to its root.
const destroy = `
	echo changed > /etc/data; chmod 4777 /etc/data /bin/busybox; chown 7:7 /etc/data; touch -d @0 /etc/data
	ln /etc/data /etc/hard; ln -s /etc/data /etc/soft; mv /etc/noexec /etc/moved; mkdir -p /new/dir; mkfifo /new/fifo
	mv /etc /etcetera; rm -rf /root; : > /bin/busybox; busybox rm -rf /bin; true`

func TestDirectoryIsNeverWritten(t *testing.T) {
	dir := newTree(t)
	before := digest(t, dir)
	sb := inTree(t, dir, probes(t))
	out, _ := harness.Run(t, sb, "sh", "-c", destroy)
	assert.Empty(t, out)
	assert.True(t, inside(t, sb, "file_open", "/new/dir").reached(), "inside the changes are real")
	assert.Equal(t, before, digest(t, dir), "with the sandbox alive")
	harness.End(t, sb)
	assert.Equal(t, before, digest(t, dir), "after its end")
	control := exec.Command(filepath.Join(dir, "bin/busybox"), "chmod", "600", filepath.Join(dir, "etc/data"))
	require.NoError(t, control.Run())
	assert.NotEqual(t, before, digest(t, dir), "control: a change outside is seen")
}

// Links, sockets, pipes and devices in a given directory lead nowhere outside.
func TestWhatADirectoryPointsTo(t *testing.T) {
	w := newWorld(t)
	dir := newTree(t)
	require.NoError(t, os.Symlink(filepath.Join(w.dir, "secret"), filepath.Join(dir, "absolute")))
	up := strings.Repeat("../", 20)
	require.NoError(t, os.Symlink(up+filepath.Join(w.dir, "secret"), filepath.Join(dir, "relative")))
	require.NoError(t, os.Symlink(w.dir, filepath.Join(dir, "directory")))
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.Write([]byte(w.secret))
			c.Close()
		}
	}()
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666))
	reader, err := os.OpenFile(filepath.Join(dir, "fifo"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer reader.Close()
	sb := inTree(t, dir, w.probes)
	for _, c := range []struct {
		args []string // the path is args[1], from the root
		deny string
	}{
		{[]string{"file_read", "/absolute", w.secret}, "read: ENOENT"},
		{[]string{"file_read", "/relative", w.secret}, "read: ENOENT"},
		{[]string{"file_read", "/directory/secret", w.secret}, "read: ENOENT"},
		{[]string{"file_read", "/directory/../secret", w.secret}, "read: ENOENT"},
		{[]string{"socket_unix", "/socket", w.secret}, "connect: "},
		{[]string{"file_open", "/fifo"}, "open: "},
		{[]string{"file_write", "/fifo"}, "open: "},
	} {
		assert.Regexp(t, "^denied: "+c.deny, string(inside(t, sb, c.args...)), "%q", c.args)
		if c.args[1] == "/directory/../secret" {
			continue // outside it is another file
		}
		c.args[1] = dir + c.args[1]
		assert.True(t, outside(w.probes, c.args...).reached(), "control: %q", c.args)
	}
}

func TestDeviceInADirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the control needs root, which alone makes device nodes")
	}
	path, dir := probes(t), newTree(t)
	require.NoError(t, unix.Mknod(filepath.Join(dir, "kmsg"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 11))))
	require.NoError(t, os.Chmod(filepath.Join(dir, "kmsg"), 0o666))
	sb := inTree(t, dir, path)
	assert.Regexp(t, "^denied: open: ", string(inside(t, sb, "file_open", "/kmsg")))
	if got := outside(path, "file_open", filepath.Join(dir, "kmsg")); !got.reached() {
		t.Skip("denied inside; the control outside needs a file system that opens device nodes: ", got)
	}
}

// While a program reads paths, the host swaps their directories for links to
// another one, and back. A sandbox looks each up once and keeps what it found.
func TestSwappedDirectories(t *testing.T) {
	const count = 300
	w := newWorld(t)
	dir := newTree(t)
	name := func(n string, i int) string { return filepath.Join(dir, n+fmt.Sprint(i)) }
	for i := range count {
		require.NoError(t, os.Mkdir(name("swap", i), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(name("swap", i), "secret"), []byte("harmless"), 0o644))
		require.NoError(t, os.Symlink(w.dir, name("other", i)))
	}
	sb := inTree(t, dir, w.probes)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, name("swap", i%count), unix.AT_FDCWD, name("other", i%count), unix.RENAME_EXCHANGE)
			}
		}
	}()
	limit := fmt.Sprint(harness.Repeat(1000, 20000))
	got := inside(t, sb, "race_read", "/swap", fmt.Sprint(count), w.secret, limit)
	assert.Regexp(t, "^denied: in [1-9][0-9]* reads", string(got))
	t.Log(got)
	assert.True(t, outside(w.probes, "race_read", filepath.Join(dir, "swap"), fmt.Sprint(count), w.secret, limit).reached(), "control")
	close(stop)
	<-stopped
}

// A directory that the host moves out of the root while a program is in it has
// no way up.
func TestMovedDirectory(t *testing.T) {
	w := newWorld(t)
	for _, place := range []string{"outside", "inside"} {
		dir := newTree(t)
		require.NoError(t, os.Mkdir(filepath.Join(dir, "inner"), 0o755))
		target := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(target, "secret"), []byte(w.secret), 0o644))
		var got string
		if place == "outside" {
			cmd := exec.Command(w.probes, "race_parent", filepath.Join(dir, "inner"), "../secret", w.secret)
			in, _ := cmd.StdinPipe()
			out, _ := cmd.StdoutPipe()
			require.NoError(t, cmd.Start())
			got = moved(t, dir, target, in, out)
			cmd.Wait()
			assert.Contains(t, got, "reached", "control")
			continue
		}
		sb := inTree(t, dir, w.probes)
		p := harness.Start(t, sb, core.ProcessOptions{
			Argv:  []string{guestProbes, "race_parent", "/inner", "../secret", w.secret},
			Stdio: [3]core.Stdio{harness.Pipe, harness.Pipe, harness.Null},
		})
		got = moved(t, dir, target, p.Stdin, p.Out)
		assert.Contains(t, got, "denied: read")
	}
}

func moved(t *testing.T, dir, target string, in io.WriteCloser, out io.Reader) string {
	word := make([]byte, len("inside\n"))
	_, err := io.ReadFull(out, word)
	require.NoError(t, err)
	require.NoError(t, os.Rename(filepath.Join(dir, "inner"), filepath.Join(target, "inner")))
	in.Close()
	rest, err := io.ReadAll(out)
	require.NoError(t, err)
	return string(rest)
}

// What a host root shows of the host stays as it is, even where its access rights
// would let everybody write.
func TestHostViewIsReadOnly(t *testing.T) {
	dir, err := os.MkdirTemp("/usr/local/share", ".msb-escape-")
	if err != nil {
		t.Skip("the control needs root, which alone writes below /usr")
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o777))
	path := probes(t)
	sb := harness.Create(t, core.Options{MsbPath: harness.Binary(t), State: harness.State(t), StopGrace: -1})
	upload(t, sb, path)
	assert.True(t, inside(t, sb, "file_open", dir).reached(), "the guest sees the directory")
	assert.Regexp(t, "^denied: create: ", string(inside(t, sb, "file_create", dir, "new")))
	assert.Regexp(t, "^(denied: create: |reached: /tmp/)", string(inside(t, sb, "mount_writable", dir, "new")))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, entries)
	assert.True(t, outside(path, "file_create", dir, "new").reached(), "control")
}
