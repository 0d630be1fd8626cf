package core

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

func TestDefaults(t *testing.T) {
	cfg, err := Options{State: State{Dir: "/s"}}.config()
	require.NoError(t, err)
	assert.Regexp(t, "^msb-[0-9a-f]{12}$", cfg.Name)
	assert.Equal(t, "/s", cfg.StateDir)
	assert.Empty(t, cfg.Engine, "the strongest")
	assert.Equal(t, image.Root{}, cfg.Root)
	assert.Equal(t, uint64(512<<20), cfg.MemoryBytes)
	assert.Equal(t, uint64(256<<20), cfg.OverlayBytes)
	assert.Equal(t, 30*time.Second, cfg.BootTimeout)
	assert.Equal(t, 2*time.Second, cfg.StopGrace)
	again, err := Options{State: State{Dir: "/s"}}.config()
	require.NoError(t, err)
	assert.NotEqual(t, cfg.ID, again.ID)
}

func TestOptionsAtTheirLimits(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, c := range map[string]struct {
		ok, bad func(*Options)
	}{
		"memory":        {func(o *Options) { o.MemoryBytes = 64 << 20 }, func(o *Options) { o.MemoryBytes = 64<<20 - 1 }},
		"much memory":   {func(o *Options) { o.MemoryBytes = 1 << 50 }, func(o *Options) { o.MemoryBytes = 1<<50 + 1 }},
		"overlay":       {func(o *Options) { o.OverlayBytes = 1 << 20 }, func(o *Options) { o.OverlayBytes = 1<<20 - 1 }},
		"large overlay": {func(o *Options) { o.OverlayBytes = 512 << 20 }, func(o *Options) { o.OverlayBytes = 512<<20 + 1 }},
		"start timeout": {func(o *Options) { o.StartTimeout = year }, func(o *Options) { o.StartTimeout = year + 1 }},
		"no time":       {func(o *Options) { o.StartTimeout = 1 }, func(o *Options) { o.StartTimeout = -1 }},
		"stop grace":    {func(o *Options) { o.StopGrace = year }, func(o *Options) { o.StopGrace = year + 1 }},
		"no grace":      {func(o *Options) { o.StopGrace = -1 }, func(o *Options) { o.StopGrace = 1 << 62 }},
		"engine":        {func(o *Options) { o.Engine = EngineGvisor }, func(o *Options) { o.Engine = 99 }},
		"host root":     {func(o *Options) {}, func(o *Options) { o.Root.Path = "/x" }},
		"dir root":      {func(o *Options) { o.Root = image.Root{Kind: 1, Path: "/x"} }, func(o *Options) { o.Root = image.Root{Kind: 1} }},
		"root kind":     {func(o *Options) { o.Root = image.Root{Kind: 2, Path: "/x"} }, func(o *Options) { o.Root = image.Root{Kind: 77, Path: "/x"} }},
		"root path": {func(o *Options) { o.Root = image.Root{Kind: 1, Path: "/" + strings.Repeat("x", 4094)} },
			func(o *Options) { o.Root = image.Root{Kind: 1, Path: "/" + strings.Repeat("x", 4095)} }},
	} {
		good, bad := Options{State: State{Dir: "/s"}}, Options{State: State{Dir: "/s"}}
		c.ok(&good)
		_, err := good.config()
		assert.NoError(t, err, name)
		c.bad(&bad)
		_, err = bad.config()
		assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, name)
		assert.Equal(t, fault.StageArgument, fault.From(err).Stage, name)
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"a", "-", "a b", "...", "é", strings.Repeat("x", 128), strings.Repeat("é", 64), "\u2028", "%s", "*"} {
		assert.NoError(t, CheckName(name), "%q", name)
	}
	for _, name := range []string{
		"", ".", "..", "a/b", "/", "\x00", "a\nb", "\x7f", "\u0085", "\xff", "\xc3", strings.Repeat("x", 129), strings.Repeat("é", 65), "\xed\xa0\x80",
	} {
		assert.ErrorIs(t, CheckName(name), &fault.Error{Code: fault.Invalid}, "%q", name)
	}
}

func TestProgramsAreValidated(t *testing.T) {
	for name, o := range map[string]ProcessOptions{
		"no argv": {}, "empty name": {Argv: []string{""}}, "relative cwd": {Argv: []string{"x"}, Cwd: "x"},
		"NUL in argv": {Argv: []string{"x", "a\x00b"}}, "NUL in env": {Argv: []string{"x"}, Env: []string{"A=\x00"}},
		"no value": {Argv: []string{"x"}, Env: []string{"A"}}, "no name": {Argv: []string{"x"}, Env: []string{"=A"}},
		"timeout": {Argv: []string{"x"}, StartTimeout: -1},
	} {
		_, err := o.program()
		assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, name)
	}
	fits := ProcessOptions{Argv: []string{"x", strings.Repeat("y", MaxArguments-3)}}
	_, err := fits.program()
	assert.NoError(t, err)
	fits.Argv[1] += "y"
	_, err = fits.program()
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Limit})
}

func TestEnvironment(t *testing.T) {
	assert.Equal(t, []string{"A=1"}, environment([]string{"A=1"}, true, false))
	assert.Empty(t, environment(nil, true, false))
	assert.Equal(t, defaultEnv, environment(nil, false, false))
	assert.Equal(t, []string{defaultEnv[0], defaultEnv[2], "HOME=/x", "A=3"}, environment([]string{"HOME=/x", "A=1", "A=2", "A=3"}, false, false),
		"the last of a name wins")
	assert.Equal(t, []string{"A=\xff="}, environment([]string{"A=\xff="}, true, false))
}

func TestKernelPath(t *testing.T) {
	state := State{Dir: t.TempDir()}
	cfg, err := Options{State: state, Engine: EngineTCG, KernelPath: "kernel"}.config()
	require.NoError(t, err)
	assert.True(t, filepath.IsAbs(cfg.KernelPath), "the supervisor has another working directory")
	assert.Equal(t, "qemu-tcg", cfg.Engine)
	assert.NotEmpty(t, cfg.Kernels)
	_, err = Options{State: state, Engine: EngineGvisor, KernelPath: "/kernel"}.config()
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid})
	assert.ErrorContains(t, err, "kernel_path")
}
