package core_test

import (
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
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func newPool(t testing.TB, o core.PoolOptions) *core.Pool {
	t.Helper()
	p, err := core.NewPool(o)
	require.NoError(t, err)
	t.Cleanup(func() { endPool(t, p) })
	harness.Wait(t, p.Ready(), "the pool to be full")
	return p
}

func endPool(t testing.TB, p *core.Pool) {
	t.Helper()
	p.Close()
	harness.Wait(t, p.Done(), "the pool to be gone")
}

func full(t testing.TB, size int) (*core.Pool, core.Options) {
	t.Helper()
	o := harness.Options(t)
	p := newPool(t, core.PoolOptions{Sandbox: o, Size: size})
	require.NoError(t, p.StartErr())
	return p, o
}

func take(t testing.TB, p *core.Pool, o core.TakeOptions) *core.Sandbox {
	t.Helper()
	sb, err := p.Take(o)
	require.NoError(t, err)
	t.Cleanup(func() { harness.End(t, sb) })
	harness.Wait(t, sb.Ready(), "the sandbox to be taken")
	return sb
}

func names(t testing.TB, o core.Options, all bool) map[string]core.Entry {
	t.Helper()
	list, err := core.List(o.State, core.ListOptions{Pooled: all})
	require.NoError(t, err)
	found := map[string]core.Entry{}
	for _, e := range list {
		found[e.Name] = e
	}
	return found
}

// settled waits until the pool has this many ready and nothing on the way.
func settled(t testing.TB, p *core.Pool, ready int) {
	t.Helper()
	require.Eventually(t, func() bool {
		i := p.Info()
		return i.Ready == ready && i.Booting == 0
	}, harness.Limit, time.Millisecond, "%+v", p.Info())
}

// What was taken is an ordinary sandbox under the name that it was asked for.
func TestTakenSandboxIsAnOrdinaryOne(t *testing.T) {
	harness.NoLeaks(t)
	p, o := full(t, 1)
	assert.Empty(t, names(t, o, false), "what waits is nobody's sandbox")
	waiting := names(t, o, true)
	require.Len(t, waiting, 1)
	for name, e := range waiting {
		assert.True(t, strings.HasPrefix(name, "msb-pool-"), name)
		assert.Equal(t, core.FlagPooled|core.FlagAttached, e.Flags)
	}
	begin := time.Now()
	sb := take(t, p, core.TakeOptions{Name: "mine", Labels: []string{"a=1"}})
	require.NoError(t, sb.StartErr())
	assert.Equal(t, "mine", sb.Name())
	info, err := sb.Info(t.Context())
	require.NoError(t, err)
	assert.Equal(t, core.FlagAttached|core.FlagOwner, info.Flags)
	assert.Equal(t, sb.Pid(), info.Pid)
	assert.WithinDuration(t, begin, info.Created, time.Second, "its life begins when it is taken")
	assert.Equal(t, "in", harness.Output(t, sb, "printf in"))

	e := names(t, o, false)["mine"]
	assert.Equal(t, []string{"a=1"}, e.Labels)
	assert.Equal(t, core.FlagAttached, e.Flags)
	other, err := core.Open(t.Context(), "mine", o.State)
	require.NoError(t, err)
	defer other.Close()
	assert.Equal(t, "by name", harness.Output(t, other, "printf 'by name'"))

	settled(t, p, 1)
	assert.EqualValues(t, 1, p.Info().AtOnce)
	tree := harness.Tree(t, int(sb.Pid()))
	harness.End(t, sb)
	assert.Equal(t, handle.CauseStopped, sb.Outcome().Cause)
	assert.Empty(t, harness.Alive(tree))
	assert.Len(t, names(t, o, true), 1, "the next one waits")
	endPool(t, p)
	assert.Empty(t, harness.Entries(t, o.State.Dir))
	findings, err := core.Audit(o.State)
	require.NoError(t, err)
	assert.Empty(t, findings)
}

func TestVerbsOfATakenSandbox(t *testing.T) {
	harness.NoLeaks(t)
	p, o := full(t, 2)
	t.Run("kill", func(t *testing.T) {
		sb := take(t, p, core.TakeOptions{Name: "killed"})
		require.NoError(t, sb.Kill())
		harness.Wait(t, sb.Done(), "the end")
		assert.Equal(t, handle.CauseKilled, sb.Outcome().Cause)
		assert.NotContains(t, names(t, o, false), "killed")
	})
	t.Run("drain", func(t *testing.T) {
		sb := take(t, p, core.TakeOptions{})
		require.NoError(t, sb.Drain(-1))
		harness.Wait(t, sb.Done(), "the end")
		assert.Equal(t, handle.CauseDrained, sb.Outcome().Cause)
	})
	t.Run("disarm", func(t *testing.T) {
		sb := take(t, p, core.TakeOptions{Name: "free"})
		require.NoError(t, sb.Disarm(t.Context()))
		sb.Close()
		harness.Wait(t, sb.Done(), "the handle to be given up")
		again, err := core.Open(t.Context(), "free", o.State)
		require.NoError(t, err)
		assert.Zero(t, names(t, o, false)["free"].Flags)
		require.NoError(t, again.Stop(0))
		harness.Wait(t, again.Done(), "the end")
	})
	t.Run("detached", func(t *testing.T) {
		sb := take(t, p, core.TakeOptions{Name: "detached", Detached: true})
		require.NoError(t, sb.StartErr())
		sb.Close()
		again, err := core.Open(t.Context(), "detached", o.State)
		require.NoError(t, err)
		assert.Equal(t, "lives", harness.Output(t, again, "printf lives"))
		require.NoError(t, again.Stop(0))
		harness.Wait(t, again.Done(), "the end")
	})
}

// Times count from the take, and can be other than the pool's.
func TestTimesCountFromTheTake(t *testing.T) {
	o := harness.Options(t)
	o.MaxDuration = 300 * time.Millisecond
	p := newPool(t, core.PoolOptions{Sandbox: o, Size: 1})
	sb := take(t, p, core.TakeOptions{})
	begin := time.Now()
	harness.Wait(t, sb.Done(), "the end")
	assert.Equal(t, handle.CauseMaxDuration, sb.Outcome().Cause)
	assert.Greater(t, time.Since(begin), 150*time.Millisecond)
	idle := take(t, p, core.TakeOptions{MaxDuration: -1, IdleTimeout: 200 * time.Millisecond})
	harness.Wait(t, idle.Done(), "the end")
	assert.Equal(t, handle.CauseIdleTimeout, idle.Outcome().Cause)
	assert.Less(t, idle.Outcome().WallTime, 10*time.Second)
}

// A name is one sandbox's, wherever that comes from; a take that fails costs nothing.
func TestNamesOfTakenSandboxes(t *testing.T) {
	p, o := full(t, 1)
	o.Name = "one"
	created := harness.Create(t, o)
	before := names(t, o, true)
	sb := take(t, p, core.TakeOptions{Name: "one"})
	assert.ErrorIs(t, sb.StartErr(), &fault.Error{Code: fault.Exists})
	assert.Equal(t, before, names(t, o, true), "the sandbox waits on")
	assert.Zero(t, p.Info().Taken)
	pid := created.Pid()
	replaced := take(t, p, core.TakeOptions{Name: "one", Replace: true, ReplaceGrace: -1})
	require.NoError(t, replaced.StartErr())
	harness.Wait(t, created.Done(), "the replaced one's end")
	assert.NotEqual(t, pid, replaced.Pid())
	second, err := core.Create(o)
	require.NoError(t, err)
	harness.Wait(t, second.Done(), "the failure")
	assert.ErrorIs(t, second.StartErr(), &fault.Error{Code: fault.Exists})

	o.Name, o.Stored = "kept", true
	harness.End(t, harness.Create(t, o))
	kept := take(t, p, core.TakeOptions{Name: "kept"})
	assert.ErrorIs(t, kept.StartErr(), &fault.Error{Code: fault.Exists}, "a stored sandbox has the name")
	settled(t, p, 1)
	fine := take(t, p, core.TakeOptions{Name: "fine"})
	require.NoError(t, fine.StartErr())
	assert.Equal(t, "in", harness.Output(t, fine, "printf in"))
}

// What waits has no tenant: nobody can make himself one.
func TestStrangersCannotUseWhatWaits(t *testing.T) {
	p, o := full(t, 1)
	for name := range names(t, o, true) {
		other, err := core.Open(t.Context(), name, o.State)
		require.NoError(t, err)
		info, err := other.Info(t.Context())
		require.NoError(t, err)
		assert.NotZero(t, info.Flags&core.FlagPooled)
		program, err := other.Start(core.ProcessOptions{Argv: []string{"true"}})
		require.NoError(t, err)
		harness.Wait(t, program.Done(), "the refusal")
		assert.ErrorIs(t, program.StartErr(), &fault.Error{Code: fault.State})
		assert.ErrorIs(t, other.Detach(t.Context()), &fault.Error{Code: fault.State})
		require.NoError(t, other.Stop(0), "but ending it is everybody's right")
		harness.Wait(t, other.Done(), "the end")
	}
	assert.NoError(t, take(t, p, core.TakeOptions{}).StartErr(), "a dead one is never handed out")
	assert.Eventually(t, func() bool { return p.Info().Booted >= 2 }, harness.Limit, time.Millisecond)
}

func TestMetricsOfTakenSandboxes(t *testing.T) {
	o := harness.Options(t)
	o.SampleEvery = 10 * time.Millisecond
	p := newPool(t, core.PoolOptions{Sandbox: o, Size: 1})
	entries, err := core.ReadMetrics(o.State)
	require.NoError(t, err)
	assert.Empty(t, entries, "what waits has none")
	sb := take(t, p, core.TakeOptions{Name: "measured"})
	require.Eventually(t, func() bool {
		m, err := sb.Metrics()
		return err == nil && m.Name == "measured"
	}, harness.Limit, 5*time.Millisecond)
	harness.End(t, sb)
	entries, err = core.ReadMetrics(o.State)
	require.NoError(t, err)
	assert.Empty(t, entries)
}

// The source is what was opened when the pool was made.
func TestMountsOfAPool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "source")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("first"), 0o644))
	o := harness.Options(t)
	o.Mounts = []mounts.Spec{{Kind: mounts.Bind, Source: dir, Target: "/mnt", ReadOnly: true}}
	p := newPool(t, core.PoolOptions{Sandbox: o, Size: 1})
	require.NoError(t, p.StartErr())
	require.NoError(t, os.Rename(dir, dir+".moved"))
	for range 2 {
		sb := take(t, p, core.TakeOptions{})
		require.NoError(t, sb.StartErr())
		assert.Equal(t, "first", harness.Output(t, sb, "cat /mnt/file"))
		harness.End(t, sb)
	}
}

func TestPoolThatCannotBoot(t *testing.T) {
	harness.NoLeaks(t)
	o := harness.Options(t)
	o.Root.Path += ".missing"
	p := newPool(t, core.PoolOptions{Sandbox: o, Size: 2})
	assert.ErrorIs(t, p.StartErr(), &fault.Error{Code: fault.NotFound})
	sb := take(t, p, core.TakeOptions{})
	assert.ErrorIs(t, sb.StartErr(), &fault.Error{Code: fault.NotFound}, "as a create would say")
	info := p.Info()
	assert.ErrorIs(t, info.LastErr, &fault.Error{Code: fault.NotFound})
	assert.Positive(t, info.Failed)
	endPool(t, p)
	assert.Empty(t, harness.Entries(t, o.State.Dir))
}

func TestTakeIsCancelled(t *testing.T) {
	harness.NoLeaks(t)
	o := harness.Options(t)
	p := newPool(t, core.PoolOptions{Sandbox: o, Size: 1, Max: 1})
	first := take(t, p, core.TakeOptions{})
	second, err := p.Take(core.TakeOptions{Timeout: 20 * time.Second})
	require.NoError(t, err)
	second.Close()
	harness.Wait(t, second.Done(), "the take to be given up")
	assert.ErrorIs(t, second.StartErr(), &fault.Error{Code: fault.Closed})
	late := take(t, p, core.TakeOptions{Timeout: 20 * time.Millisecond})
	assert.ErrorIs(t, late.StartErr(), &fault.Error{Code: fault.TimedOut})
	waits, err := p.Take(core.TakeOptions{})
	require.NoError(t, err)
	harness.End(t, first)
	harness.Wait(t, waits.Ready(), "its turn")
	assert.NoError(t, waits.StartErr())
	harness.End(t, waits)
	p.Close()
	closed := take(t, p, core.TakeOptions{})
	assert.ErrorIs(t, closed.StartErr(), &fault.Error{Code: fault.Closed})
}

func TestPoolRefusesWhatItCannotDo(t *testing.T) {
	plain := core.Options{MsbPath: "/bin/true", State: harness.State(t)}
	for what, change := range map[string]func(*core.PoolOptions){
		"sandbox.name":   func(o *core.PoolOptions) { o.Sandbox.Name = "n" },
		"stored":         func(o *core.PoolOptions) { o.Sandbox.Stored = true },
		"DETACHED":       func(o *core.PoolOptions) { o.Sandbox.Detached = true },
		"REPLACE":        func(o *core.PoolOptions) { o.Sandbox.Replace = true },
		"pool_size":      func(o *core.PoolOptions) { o.Size = core.MaxPool + 1 },
		"idle_size":      func(o *core.PoolOptions) { o.Idle = 2 },
		"max_sandboxes":  func(o *core.PoolOptions) { o.Size, o.Max = 3, 2 },
		"max_boots":      func(o *core.PoolOptions) { o.Boots = 1 << 20 },
		"idle_shrink_ms": func(o *core.PoolOptions) { o.IdleShrink = -1 },
		"read-only": func(o *core.PoolOptions) {
			o.Sandbox.Mounts = []mounts.Spec{{Kind: mounts.Disk, Source: "/image", Target: "/disk"}}
		},
		"memory_bytes": func(o *core.PoolOptions) { o.Sandbox.MemoryBytes = 1 },
	} {
		o := core.PoolOptions{Sandbox: plain, Size: 1}
		change(&o)
		_, err := core.NewPool(o)
		require.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, what)
		assert.ErrorContains(t, err, what)
	}
	assert.NoDirExists(t, plain.State.Dir, "nothing was begun")
}

func TestTakeRefusesWhatItCannotDo(t *testing.T) {
	p, _ := full(t, 1)
	for what, o := range map[string]core.TakeOptions{
		"name":            {Name: "a/b"},
		"replace":         {Replace: true},
		"label":           {Labels: []string{"none"}},
		"take_timeout_ms": {Timeout: -1},
		"max_duration_ms": {MaxDuration: 2 * core.MaxTimeout},
	} {
		_, err := p.Take(o)
		require.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, what)
		assert.ErrorContains(t, err, what)
	}
	assert.ErrorIs(t, p.Resize(core.MaxPool+1), &fault.Error{Code: fault.Invalid})
}

func BenchmarkTake(b *testing.B) {
	p, _ := full(b, 4)
	for b.Loop() {
		b.StopTimer()
		settled(b, p, 4)
		b.StartTimer()
		sb, err := p.Take(core.TakeOptions{})
		require.NoError(b, err)
		<-sb.Ready()
		b.StopTimer()
		require.NoError(b, sb.StartErr())
		harness.End(b, sb)
		b.StartTimer()
	}
}
