package handle_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// context10 is what the blocking calls get.
func context10(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func code(c fault.Code) error { return &fault.Error{Code: c} }

// open opens a living sandbox as another program would.
func open(t testing.TB, name string, state core.State) *core.Sandbox {
	t.Helper()
	sb, err := core.Open(context10(t), name, state)
	require.NoError(t, err)
	t.Cleanup(sb.Close)
	return sb
}

func TestLifeOfASandbox(t *testing.T) {
	harness.NoLeaks(t)
	o := harness.Options(t)
	o.Name, o.MemoryBytes = "life", 200<<20
	begin := time.Now()
	sb := harness.Create(t, o)
	assert.Equal(t, "life", sb.Name())
	assert.Positive(t, sb.Pid())

	info, err := sb.Info(context10(t))
	require.NoError(t, err)
	assert.Equal(t, sb.Pid(), info.Pid)
	assert.Equal(t, handle.StateRunning, info.State)
	engine := harness.Engine(t)
	if engine == core.EngineAuto {
		engine = core.EngineGvisor
	}
	assert.Equal(t, uint32(engine), info.Engine)
	assert.Equal(t, core.FlagAttached|core.FlagOwner, info.Flags)
	assert.Equal(t, uint64(200<<20), info.MemoryBytes)
	assert.Equal(t, uint64(100<<20), info.OverlayBytes)
	assert.Zero(t, info.Programs)
	assert.WithinDuration(t, begin, info.Created, harness.Limit)
	assert.NotEmpty(t, info.Receipt)

	tree := harness.Tree(t, int(sb.Pid()))
	assert.Greater(t, len(tree), 1, "the supervisor has an engine")
	program := harness.Shell(t, sb, "echo up; cat").Running()
	program.Line("up\n")
	info, err = sb.Info(context10(t))
	require.NoError(t, err)
	assert.Equal(t, uint32(1), info.Programs)

	harness.End(t, sb)
	out := sb.Outcome()
	assert.Equal(t, handle.CauseStopped, out.Cause)
	assert.Equal(t, int32(-1), out.ExitCode)
	assert.Positive(t, out.WallTime)
	assert.LessOrEqual(t, out.WallTime, time.Since(begin))
	harness.Wait(t, program.Done(), "the program to end with its sandbox")
	assert.Equal(t, handle.CauseSandboxEnded, program.Outcome().Cause)
	assert.Empty(t, harness.Entries(t, o.State.Dir))
	assert.Empty(t, harness.Alive(tree), "nothing is left once Done is closed")

	assert.Equal(t, "life", sb.Name(), "name and pid stay")
	assert.Equal(t, info.Pid, sb.Pid())
	for verb, err := range map[string]error{"kill": sb.Kill(), "stop": sb.Stop(0), "drain": sb.Drain(0), "disarm": sb.Disarm(context10(t))} {
		assert.ErrorIs(t, err, code(fault.Done), verb)
	}
	_, err = sb.Start(core.ProcessOptions{Argv: []string{"true"}})
	assert.ErrorIs(t, err, code(fault.Done))
	_, err = sb.Info(context10(t))
	assert.ErrorIs(t, err, code(fault.Done))
	sb.Close()
	assert.ErrorIs(t, program.Signal(9), code(fault.Done))
}

func TestGeneratedNamesDiffer(t *testing.T) {
	o := harness.Options(t)
	a, b := harness.Create(t, o), harness.Create(t, o)
	assert.NotEqual(t, a.Name(), b.Name())
	assert.Regexp(t, "^msb-[0-9a-f]{12}$", a.Name())
}

// Any byte that a name may have comes back from disk as it was.
func TestNamesAreBytes(t *testing.T) {
	o := harness.Options(t)
	for _, name := range []string{
		"-", "--help", " ", "...", "a b", "ünï\u2028cödé", `"\'%s%n$(id)` + "`id`", "lock", ".new-1-1-x", "*", strings.Repeat("\u00e9", 64),
	} {
		o.Name = name
		sb := harness.Create(t, o)
		entries, err := core.List(o.State, core.ListOptions{})
		require.NoError(t, err)
		require.Len(t, entries, 1)
		assert.Equal(t, name, entries[0].Name)
		other := open(t, name, o.State)
		assert.Equal(t, sb.Pid(), other.Pid())
		other.Close()
		harness.End(t, sb)
	}
}

func TestTwoSandboxesOfOneName(t *testing.T) {
	o := harness.Options(t)
	o.Name = "twin"
	first := harness.Create(t, o)
	second, err := core.Create(o)
	require.NoError(t, err)
	harness.Wait(t, second.Done(), "the second to fail")
	assert.ErrorIs(t, second.StartErr(), code(fault.Exists))
	assert.ErrorContains(t, second.StartErr(), "supervisor pid")
	assert.Equal(t, handle.CauseStartFailed, second.Outcome().Cause)
	assert.Equal(t, "in", harness.Output(t, first, "printf in"), "the first goes on")
	require.Len(t, harness.Entries(t, o.State.Dir), 1)

	harness.End(t, first)
	again := harness.Create(t, o) // the name is free once Done is closed
	harness.End(t, again)
}

func TestKilledNameIsFreeAtOnce(t *testing.T) {
	o := harness.Options(t)
	o.Name = "phoenix"
	for range harness.Repeat(5, 50) {
		sb := harness.Create(t, o)
		require.NoError(t, sb.Kill())
		harness.Wait(t, sb.Done(), "the kill")
	}
}

func TestOpenListAndClose(t *testing.T) {
	harness.NoLeaks(t)
	o := harness.Options(t)
	entries, err := core.List(o.State, core.ListOptions{})
	require.NoError(t, err)
	assert.Empty(t, entries)
	_, err = core.Open(context10(t), "b", o.State)
	assert.ErrorIs(t, err, code(fault.NotFound))
	assert.NoDirExists(t, o.State.Dir, "looking makes nothing")

	names := []string{"c", "a", "b"}
	for _, name := range names {
		o.Name = name
		harness.Create(t, o)
	}
	entries, err = core.List(o.State, core.ListOptions{})
	require.NoError(t, err)
	require.Len(t, entries, 3)
	for i, name := range []string{"a", "b", "c"} {
		assert.Equal(t, name, entries[i].Name, "in the order of names")
		assert.Equal(t, handle.StateRunning, entries[i].State)
		assert.Equal(t, core.FlagAttached, entries[i].Flags)
		assert.Equal(t, uint32(core.EngineGvisor), entries[i].Engine)
	}
	_, err = core.Open(context10(t), "d", o.State)
	assert.ErrorIs(t, err, code(fault.NotFound))

	b := open(t, "b", o.State)
	assert.False(t, b.Owner())
	info, err := b.Info(context10(t))
	require.NoError(t, err)
	assert.Equal(t, core.FlagAttached, info.Flags)
	out, outcome := harness.Run(t, b, "echo", "hello")
	assert.Equal(t, "hello\n", out)
	assert.Zero(t, outcome.ExitCode)
	assert.ErrorIs(t, b.Disarm(context10(t)), code(fault.State))

	running := harness.Shell(t, b, "echo up; cat").Running()
	running.Line("up\n")
	harness.End(t, b) // releases it and nothing more
	assert.Equal(t, handle.CauseUnknown, b.Outcome().Cause)
	harness.Wait(t, running.Done(), "the program's handle to end")
	assert.Equal(t, "in", harness.Output(t, open(t, "b", o.State), "printf in"))
}

func TestOpenedSandboxSeesTheEnd(t *testing.T) {
	o := harness.Options(t)
	o.Name = "seen"
	sb := harness.Create(t, o)
	other := open(t, "seen", o.State)
	program := harness.Shell(t, other, "echo up; cat").Running()
	program.Line("up\n")
	harness.End(t, sb)
	harness.Wait(t, other.Done(), "the opened handle to see the end")
	assert.Equal(t, handle.CauseStopped, other.Outcome().Cause)
	harness.Wait(t, program.Done(), "its program to end")
	assert.Equal(t, handle.CauseSandboxEnded, program.Outcome().Cause)
}

func TestOpenedSandboxCanBeKilled(t *testing.T) {
	o := harness.Options(t)
	o.Name = "victim"
	sb := harness.Create(t, o)
	other := open(t, "victim", o.State)
	require.NoError(t, other.Kill())
	harness.Wait(t, other.Done(), "the killer to see it")
	harness.Wait(t, sb.Done(), "the owner to see it")
	assert.Equal(t, handle.CauseKilled, other.Outcome().Cause)
	assert.Equal(t, handle.CauseKilled, sb.Outcome().Cause)
	harness.Swept(t, o.State.Dir)
}

// The control socket is beyond the 108 bytes of sun_path, the whole path near
// the longest that a state directory may have.
func TestLongStateDirectory(t *testing.T) {
	o := harness.Options(t)
	o.Name = "far"
	for len(o.State.Dir) < 2900 {
		o.State.Dir = filepath.Join(o.State.Dir, strings.Repeat("d", 80))
	}
	o.State.Dir += strings.Repeat("e", 3000-len(o.State.Dir))
	require.Len(t, o.State.Dir, 3000)
	harness.Create(t, o)
	assert.Equal(t, "in", harness.Output(t, open(t, "far", o.State), "printf in"))

	o.State.Dir += "f"
	_, err := core.Create(o)
	assert.ErrorIs(t, err, code(fault.Invalid), "one byte more")
}

func TestStartTimeout(t *testing.T) {
	harness.NoLeaks(t)
	o := harness.Options(t)
	o.StartTimeout = 10 * time.Millisecond
	sb, err := core.Create(o)
	require.NoError(t, err)
	harness.Wait(t, sb.Done(), "the start to time out")
	assert.ErrorIs(t, sb.StartErr(), code(fault.TimedOut))
	assert.Empty(t, harness.Entries(t, o.State.Dir))
}

func TestFailedBootTellsWhy(t *testing.T) {
	harness.NoLeaks(t)
	for name, c := range map[string]struct {
		path  string
		kind  func(*core.Options)
		code  fault.Code
		stage fault.Stage
	}{
		"missing":         {"/no/such/root", nil, fault.NotFound, fault.StageRoot},
		"file as a tree":  {"/etc/passwd", nil, fault.Invalid, fault.StageRoot},
		"tree as a file":  {"/etc", func(o *core.Options) { o.Root.Kind = 2 }, fault.Invalid, fault.StageRoot},
		"no EROFS at all": {"/etc/passwd", func(o *core.Options) { o.Root.Kind = 2 }, fault.Invalid, fault.StageRoot},
	} {
		t.Run(name, func(t *testing.T) {
			o := harness.Options(t)
			o.Root.Kind, o.Root.Path = 1, c.path
			if c.kind != nil {
				c.kind(&o)
			}
			sb, err := core.Create(o)
			require.NoError(t, err)
			harness.Wait(t, sb.Done(), "the boot to fail")
			e := fault.From(sb.StartErr())
			assert.Equal(t, c.stage, e.Stage, e.Message)
			assert.Equal(t, c.code, e.Code, e.Message)
			assert.Contains(t, e.Message, c.path)
			assert.Empty(t, harness.Entries(t, o.State.Dir))
		})
	}
}

func TestStateDirectoryThatCannotBe(t *testing.T) {
	harness.NoLeaks(t)
	fail := func(t *testing.T, o core.Options, want fault.Code) {
		t.Helper()
		sb, err := core.Create(o)
		require.NoError(t, err)
		harness.Wait(t, sb.Done(), "the create to fail")
		assert.ErrorIs(t, sb.StartErr(), code(want))
		assert.Equal(t, fault.StageState, fault.From(sb.StartErr()).Stage)
		assert.ErrorContains(t, sb.StartErr(), o.State.Dir)
	}
	t.Run("a file is in the way", func(t *testing.T) {
		o := harness.Options(t)
		require.NoError(t, os.WriteFile(o.State.Dir, nil, 0o600))
		fail(t, o, fault.NotFound)
	})
	t.Run("others can write it", func(t *testing.T) {
		o := harness.Options(t)
		require.NoError(t, os.Mkdir(o.State.Dir, 0o700))
		require.NoError(t, os.Chmod(o.State.Dir, 0o777))
		fail(t, o, fault.Permission)
	})
	t.Run("only this user can", func(t *testing.T) {
		o := harness.Options(t)
		require.NoError(t, os.Mkdir(o.State.Dir, 0o700))
		harness.Create(t, o)
	})
}
