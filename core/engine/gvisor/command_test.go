package gvisor

import (
	"encoding/json"
	"flag"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/runsc/cmd"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/config"
	gvisorflag "gvisor.dev/gvisor/runsc/flag"
	"gvisor.dev/gvisor/runsc/specutils"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// The pinned gVisor takes our command lines as they are meant.
func TestCommandLinesAreGVisors(t *testing.T) {
	const changed = "the pinned gVisor takes other options: adapt options, boot.order and goferCommand"
	p := paths{dir: t.TempDir()}
	set := gvisorflag.NewFlagSet("gvisor", gvisorflag.ContinueOnError)
	config.RegisterFlags(set)
	require.NoError(t, set.Parse(p.options(4096, nil)), changed)
	conf, err := config.NewFromFlags(set)
	require.NoError(t, err, changed)
	assert.Equal(t, config.NetworkNone, conf.Network, changed)
	assert.True(t, conf.IgnoreCgroups, changed)
	assert.True(t, conf.DirectFS, changed)
	assert.False(t, conf.Rootless, changed)
	assert.Equal(t, hostFiles, conf.FDLimit, changed)
	assert.Equal(t, "systrap", conf.Platform, changed)
	overlay := conf.GetOverlay2()
	assert.Equal(t, config.OverlayMedium("memory"), overlay.RootOverlayMedium(), changed)
	assert.Equal(t, "size=4096", "size="+strings.TrimPrefix(overlay.RootOverlaySize(), "size="), changed)

	spec := &ociSpec{
		Annotations: map[string]string{},
		Mounts:      []ociMount{{Type: "tmpfs"}, {Type: "bind", Source: "/usr"}, {Type: "proc"}},
	}
	var confs specutils.GoferMountConfFlags
	require.NoError(t, confs.Set(joinConfs(mountConfs(spec, 4096))), changed)
	require.Len(t, confs, 2, "the root, and each mount of which gVisor says that it has one")
	for _, m := range theirSpec(t, spec).Mounts {
		assert.Equal(t, m.Type == "bind", specutils.HasMountConfig(m), changed)
	}
	assert.True(t, confs[0].ShouldUseLisafs() && confs[0].ShouldUseOverlayfs(), changed)
	assert.True(t, confs[1].ShouldUseLisafs() && !confs[1].ShouldUseOverlayfs(), changed)

	b := &boot{cfg: engine.Config{ID: "id", MemoryBytes: 1 << 20}, paths: p, root: &rootFS{}, options: p.options(4096, nil)}
	lineage, err := newLineageLink(engine.Limits{})
	require.NoError(t, err)
	defer lineage.link.close()
	defer lineage.close()
	b.lineage = lineage
	b.logs, err = openLogs("")
	require.NoError(t, err)
	defer b.logs.close()
	sentry := &command{}
	defer sentry.close()
	data, err := json.Marshal(spec)
	require.NoError(t, err)
	file, err := memfile("spec", data)
	require.NoError(t, err)
	defer file.Close()
	b.launcher = file
	ring := pinRing()
	gofer, ends, err := goferCommand("id", b.options, b.logs, file, ring, mountConfs(spec, 4096), sentry)
	require.NoError(t, err)
	defer gofer.close()
	defer ends.close()
	require.NoError(t, b.order(sentry, spec, mountConfs(spec, 4096), ends, ring != nil))
	defer b.state.Close()
	parse(t, sentry.argv(3), "boot", new(sentrycmd.Boot))
	parse(t, gofer.argv(3), "gofer", new(cmd.Gofer))
}

// parse reads the options of one of gVisor's commands as gVisor does.
func parse(t *testing.T, argv []string, name string, command interface{ SetFlags(*flag.FlagSet) }) {
	t.Helper()
	for i, a := range argv {
		if a != name {
			continue
		}
		set := flag.NewFlagSet(name, flag.ContinueOnError)
		set.SetOutput(io.Discard)
		command.SetFlags(set)
		require.NoError(t, set.Parse(argv[i+1:]), "the pinned gVisor takes other options of %s", name)
		require.Equal(t, []string{"id"}, set.Args())
		return
	}
	t.Fatalf("no command %s in %q", name, argv)
}
