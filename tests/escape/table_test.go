package escape

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// probe is one attempt. Outside it must reach its aim, inside it must not.
type probe struct {
	name string // of the subtest, and in docs/threat-model.md
	args func(w *world) []string
	deny string // pattern of the answer inside
	// missing says what the control needs and this machine or user has not; "" is
	// nothing. The inside part runs all the same.
	missing func(w *world) string
}

func fixed(args ...string) func(*world) []string {
	return func(*world) []string { return args }
}

func needsRoot(*world) string {
	if os.Geteuid() != 0 {
		return "root"
	}
	return ""
}

func needsFile(path string, root bool) func(*world) string {
	return func(w *world) string {
		if _, err := os.Stat(path); err != nil {
			return path
		}
		if root {
			return needsRoot(w)
		}
		return ""
	}
}

// walls are what is held against every probe: each root file system, and a user of
// the sandbox who is not its root.
func walls(t testing.TB) []wall {
	if harness.Virtual(t) {
		return []wall{{"erofs", harness.Root(t), 0}, {"user", harness.Root(t), 1000}}
	}
	return []wall{{"host", image.Root{}, 0}, {"dir", harness.DirRoot(t), 0}, {"erofs", harness.Root(t), 0}, {"user", harness.Root(t), 1000}}
}

type wall struct {
	name string
	root image.Root
	uid  uint32 // in the sandbox
}

func TestProbes(t *testing.T) {
	binary := harness.Binary(t)
	w := newWorld(t)
	msb, err := os.ReadFile(binary)
	require.NoError(t, err)
	for _, wall := range walls(t) {
		t.Run(wall.name, func(t *testing.T) {
			options := harness.Options(t)
			options.Root, options.MemoryBytes = wall.root, 256<<20
			sb := harness.Create(t, options)
			upload(t, sb, w.probes)
			for _, p := range table() {
				t.Run(p.name, func(t *testing.T) { p.try(t, w, sb, wall.uid) })
			}
			t.Run("state directory", func(t *testing.T) { tryState(t, w, sb, options.State.Dir) })
			assert.Equal(t, "still here\n", harness.Output(t, sb, "echo still here"))
		})
	}
	now, err := os.ReadFile(binary)
	require.NoError(t, err)
	assert.Equal(t, msb, now, "msb itself was changed")
}

func (p probe) try(t *testing.T, w *world, sb *core.Sandbox, uid uint32) {
	args := p.args(w)
	if args == nil {
		t.Skip("needs ", p.missing(w))
	}
	p.tryInside(t, sb, uid, args)
	if p.missing != nil {
		if what := p.missing(w); what != "" {
			t.Skip("denied inside; the control outside needs ", what)
		}
	}
	got := outside(w.probes, args...)
	assert.True(t, got.reached(), "outside: %q: %s", args, got)
}

// ownKernel are aims that a guest with a kernel of its own has too: what it reaches is
// in that kernel, behind the same wall as its programs.
var ownKernel = map[string]bool{
	"kernel symbols": true, "/proc/kpagecount": true, "/proc/partitions": true, "/proc/keys": true, "/sys/kernel/debug": true,
	"device events": true, "io_uring": true, "userfaultfd": true, "32-bit entry": true,
}

// tryInside must be denied; how a kernel of the guest's own says so is its matter.
func (p probe) tryInside(t *testing.T, sb *core.Sandbox, uid uint32, args []string) {
	t.Helper()
	got := string(insideAs(t, sb, uid, args...))
	switch {
	case !harness.Virtual(t):
		assert.Regexp(t, "^denied: "+p.deny, got, "inside: %q", args)
	case ownKernel[p.name]:
		t.Logf("of the guest's own kernel: %s", got)
	default:
		assert.Regexp(t, "^denied: ", got, "inside: %q", args)
	}
}

// tryState aims at the files and sockets of the sandbox's own state directory.
func tryState(t *testing.T, w *world, sb *core.Sandbox, dir string) {
	files := 0
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		args := []string{"file_open", path}
		if d.Type()&os.ModeSocket != 0 {
			args = []string{"socket_unix", path, w.secret}
			if len(path) > 100 {
				return nil
			}
		} else if d.Type().IsRegular() {
			assert.True(t, outside(w.probes, args...).reached(), path)
		}
		assert.Regexp(t, "^denied: (open|connect): (ENOENT|ENOTDIR)", string(inside(t, sb, args...)), path)
		return nil
	}))
	assert.NotZero(t, files, "a living sandbox has files in %s", dir)
}

// all joins the parts of the table.
func table() []probe {
	var all []probe
	for _, part := range [][]probe{fileProbes, procProbes, processProbes, socketProbes, inheritProbes, kernelProbes, mountProbes} {
		all = append(all, part...)
	}
	return all
}
