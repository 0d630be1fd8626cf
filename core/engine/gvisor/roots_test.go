package gvisor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// cell is one of the table of roots in docs/engines.md, for the caller that runs it.
type cell struct {
	root     image.Root
	owners   map[string]string // of files, as "uid gid"
	writable []string
	denied   map[string]string // files that cannot be written, and the error
}

func caller(root, user string) string {
	if os.Geteuid() == 0 {
		return root
	}
	return user
}

// erofsCell has an image whose files belong to ids that the caller has not.
func erofsCell(t *testing.T) cell {
	dir := busyboxRoot(t)
	require.NoError(t, os.Chmod(dir.Path, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir.Path, "etc/private"), []byte("read"), 0o600))
	return cell{
		root:     erofsRoot(t, dir.Path, "-E", "noinline_data", "--force-uid=33", "--force-gid=44"),
		owners:   map[string]string{"/etc/private": "33 44"},
		writable: []string{"/etc/private", "/new"},
	}
}

// dirCell has files of ids that only root can give.
func dirCell(t *testing.T) cell {
	c := cell{
		root:     busyboxRoot(t),
		owners:   map[string]string{"/etc/private": "0 0"},
		writable: []string{"/etc/private", "/new"},
	}
	name := func(n string) string { return filepath.Join(c.root.Path, n) }
	require.NoError(t, os.Chmod(c.root.Path, 0o755))
	require.NoError(t, os.WriteFile(name("etc/private"), []byte("read"), 0o600))
	if os.Geteuid() == 0 {
		for n, id := range map[string]int{"etc/other": 33, "etc/far": 1 << 20} {
			require.NoError(t, os.WriteFile(name(n), []byte("read"), 0o600))
			require.NoError(t, os.Chown(name(n), id, id))
		}
		c.owners["/etc/other"], c.owners["/etc/far"] = "33 33", "65534 65534"
		c.writable = append(c.writable, "/etc/other")
	}
	return c
}

// hostCell is a view of the host's toolchain, which belongs to the host's root.
func hostCell(*testing.T) cell {
	return cell{
		owners:   map[string]string{"/etc/passwd": "0 0", "/usr/bin": "65534 65534"},
		writable: []string{"/etc/passwd", "/root/new", "/tmp/new", "/new"},
		denied:   map[string]string{"/usr/new": "Read-only file system"},
	}
}

// Each root shows the ids, lets read and lets write what the table says, to root and
// to any other user: the suite runs as both.
func TestWhatARootShows(t *testing.T) {
	for name, make := range map[string]func(*testing.T) cell{"erofs": erofsCell, "dir": dirCell, "host": hostCell} {
		t.Run(name+" as "+caller("root", "user"), func(t *testing.T) {
			c := make(t)
			m := bootMachine(t, newConfig(t, c.root))
			for file, owner := range c.owners {
				assert.Equal(t, owner, output(t, m, "stat", "-c", "%u %g", file), file)
			}
			if c.root.Kind != image.Host {
				assert.Equal(t, "read", output(t, m, "cat", "/etc/private"))
			}
			for _, file := range c.writable {
				assert.Equal(t, "written", output(t, m, "sh", "-c", `echo written >"$0".new && mv "$0".new "$0" && echo written >>"$0" && head -n 1 "$0"`, file), file)
			}
			for file, message := range c.denied {
				r := run(t, m, "sh", "-c", `echo x >"$0"`, file)
				assert.NotZero(t, r.Status, file)
				assert.Contains(t, r.Err, message)
			}
			assert.Equal(t, "7 8", output(t, m, "sh", "-c", "touch /tmp/own && chown 7:8 /tmp/own && stat -c '%u %g' /tmp/own"))
			r, err := spawn(t, m, engine.Program{Argv: []string{"id", "-u"}, UID: 4321})
			require.NoError(t, err)
			assert.Equal(t, "4321\n", r.Result().Out)
		})
	}
}
