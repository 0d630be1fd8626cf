package mounts

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestBadSources(t *testing.T) {
	dir := source(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.Symlink("nowhere", at("dangling")))
	require.NoError(t, os.Symlink("round", at("round")))
	require.NoError(t, unix.Mkfifo(at("fifo"), 0o600))
	socket, err := net.ListenUnix("unix", &net.UnixAddr{Name: at("socket"), Net: "unix"})
	require.NoError(t, err)
	defer socket.Close()
	for source, want := range map[string]struct {
		code fault.Code
		text string
	}{
		at("missing"):                     {fault.NotFound, "no such file"},
		at("file/x"):                      {fault.NotFound, "not a directory"},
		at("dangling"):                    {fault.NotFound, `a link to "nowhere", which leads nowhere`},
		at("round"):                       {fault.Invalid, "goes round in circles"},
		at("fifo"):                        {fault.Invalid, "is a FIFO"},
		at("socket"):                      {fault.Invalid, "is a socket"},
		"/dev/null":                       {fault.Invalid, "is a character device"},
		"/proc/self/fd":                   {fault.Invalid, "procfs"},
		"":                                {fault.Invalid, "the source is missing"},
		at(strings.Repeat("n", 256)):      {fault.Invalid, "a name of 256 bytes"},
		"/" + strings.Repeat("nn/", 1400): {fault.Invalid, "at most 4095"},
		"/x\x00y":                         {fault.Invalid, "NUL byte"},
	} {
		t.Run(fmt.Sprintf("%.20q", source), func(t *testing.T) {
			e := refused(t, with(t, mounts.Spec{Source: source, Target: "/data", ReadOnly: true}))
			assert.Equal(t, want.code, e.Code, e.Message)
			assert.Contains(t, e.Message, want.text)
			assert.Contains(t, e.Message, `mount "/data"`)
		})
	}
}

func TestBadTargetsAndSizes(t *testing.T) {
	dir := source(t)
	for name, c := range map[string]struct {
		specs []mounts.Spec
		code  fault.Code
		text  string
	}{
		"relative":      {[]mounts.Spec{{Source: dir, Target: "data"}}, fault.Invalid, "must be absolute"},
		"upwards":       {[]mounts.Spec{{Source: dir, Target: "/a/../b"}}, fault.Invalid, `".." is not allowed`},
		"proc":          {[]mounts.Spec{{Source: dir, Target: "/proc/x"}}, fault.Invalid, "belongs to the sandbox"},
		"dev":           {[]mounts.Spec{{Kind: mounts.Tmpfs, Target: "/dev/shm"}}, fault.Invalid, "belongs to the sandbox"},
		"root":          {[]mounts.Spec{{Source: dir, Target: "/"}}, fault.Invalid, "the root file system"},
		"missing":       {[]mounts.Spec{{Source: dir}}, fault.Invalid, "the target is missing"},
		"long name":     {[]mounts.Spec{{Source: dir, Target: "/" + strings.Repeat("n", 256)}}, fault.Invalid, "a name of 256 bytes"},
		"duplicate":     {[]mounts.Spec{{Source: dir, Target: "/d"}, {Kind: mounts.Tmpfs, Target: "/d"}}, fault.Invalid, "two mounts"},
		"in a file":     {[]mounts.Spec{{Source: dir + "/file", Target: "/f"}, {Source: dir, Target: "/f/x"}}, fault.Invalid, "a single file is mounted"},
		"in the root":   {[]mounts.Spec{{Source: dir, Target: "/bin/busybox"}}, fault.Invalid, "isn't a directory"},
		"tiny":          {[]mounts.Spec{{Kind: mounts.Tmpfs, Target: "/t", SizeBytes: 1}}, fault.Invalid, "a tmpfs of 1 bytes"},
		"huge":          {[]mounts.Spec{{Kind: mounts.Tmpfs, Target: "/t", SizeBytes: 1<<64 - 1}}, fault.Invalid, "a tmpfs of"},
		"size of a dir": {[]mounts.Spec{{Source: dir, Target: "/t", SizeBytes: 4096}}, fault.Invalid, "only a tmpfs has a size"},
		"kind":          {[]mounts.Spec{{Kind: 9, Source: dir, Target: "/t"}}, fault.Invalid, "no kind 9"},
		"65":            {make([]mounts.Spec, 65), fault.Limit, "65 mounts"},
		"no image":      {[]mounts.Spec{{Kind: mounts.EROFS, Source: dir + "/file", Target: "/i"}}, fault.Invalid, "not an EROFS image"},
		"dir as image":  {[]mounts.Spec{{Kind: mounts.EROFS, Source: dir, Target: "/i"}}, fault.Invalid, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			e := refused(t, with(t, c.specs...))
			assert.Equal(t, c.code, e.Code, e.Message)
			assert.Contains(t, e.Message, c.text)
		})
	}
}

// TestGoodNames is the twin of the refusals: names as long as can be, of any bytes.
func TestGoodNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("\xff", 255))
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("given\n"), 0o644))
	require.NoError(t, os.Symlink(dir, dir[:len(dir)-1]))
	target := "/" + strings.Repeat("n", 255)
	sb := harness.Create(t, with(t, mounts.Spec{Source: dir, Target: target, ReadOnly: true},
		mounts.Spec{Source: dir[:len(dir)-1] + "/../" + strings.Repeat("\xff", 255) + "/file", Target: "/through/a/link"}))
	require.Equal(t, "given\ngiven\n", harness.Output(t, sb, "cat "+target+"/file /through/a/link"))
}

// TestRelativeSource: as root_path, it is the host program's directory that counts.
func TestRelativeSource(t *testing.T) {
	o := with(t, mounts.Spec{Source: "file", Target: "/f"}, mounts.Spec{Source: ".", Target: "/d"})
	t.Chdir(source(t))
	sb := harness.Create(t, o)
	require.Equal(t, "given\ngiven\n", harness.Output(t, sb, "cat /f /d/file"))
}

// TestSwappedDuringCreate: what was opened by the call is what is mounted.
func TestSwappedDuringCreate(t *testing.T) {
	harness.NoLeaks(t)
	parent := t.TempDir()
	dir := filepath.Join(parent, "dir")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "who"), []byte("opened"), 0o644))
	old := with(t)
	old.Name = "swapped"
	harness.Create(t, old)

	// The new one begins when the old one has ended: the swap comes before.
	o := with(t, mounts.Spec{Source: dir, Target: "/data"})
	o.State, o.Name, o.Replace = old.State, "swapped", true
	sb, err := createWhile(t, o, func() {
		require.NoError(t, os.Rename(dir, dir+".away"))
		require.NoError(t, os.Mkdir(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "who"), []byte("swapped"), 0o644))
	})
	require.NoError(t, err)
	require.Equal(t, "opened", harness.Output(t, sb, "cat /data/who"))
}

func TestManyMounts(t *testing.T) {
	dir := source(t)
	var specs []mounts.Spec
	for i := range mounts.MaxMounts {
		specs = append(specs, mounts.Spec{Source: dir, Target: fmt.Sprintf("/m/%d", i)})
	}
	sb := harness.Create(t, with(t, specs...))
	require.Equal(t, "64\n", harness.Output(t, sb, "cat /m/*/file | wc -l"))
}
