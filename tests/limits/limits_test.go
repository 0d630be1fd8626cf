// Package limits_test tests the limits of sandboxes that run: each ends or refuses
// what is beyond it, is named by the outcome, and lets the same be without it.
package limits_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

func sandbox(t *testing.T, l core.Limits) *core.Sandbox {
	t.Helper()
	o := harness.Options(t)
	o.Limits = l
	return harness.Create(t, o)
}

func info(t *testing.T, sb *core.Sandbox) core.Info {
	t.Helper()
	i, err := sb.Info(context.Background())
	require.NoError(t, err)
	return i
}

// receipt is the line of a protection.
func receipt(t *testing.T, sb *core.Sandbox, protection string) string {
	t.Helper()
	for _, line := range info(t, sb).Receipt {
		if text, ok := strings.CutPrefix(line, protection+": "); ok {
			return text
		}
	}
	return ""
}

func TestDefaults(t *testing.T) {
	sb := sandbox(t, core.Limits{})
	assert.Equal(t, core.Limits{Processes: 256, OpenFiles: 4096}, info(t, sb).Limits)
	assert.Contains(t, receipt(t, sb, "limits"), "256 processes")
	assert.Contains(t, receipt(t, sb, "limits"), "4096 open files")
	assert.Equal(t, "no limit", receipt(t, sb, "processors"))
	assert.Empty(t, receipt(t, sb, "processor time"))
	assert.Equal(t, "1024 4096\n", harness.Output(t, sb, `echo $(ulimit -n) $(ulimit -Hn)`))
}

// many starts processes that live until the end of its input, and says how many
// there are.
const many = `i=0; while [ $i -lt %d ]; do sleep 1000 & i=$((i+1)); done; echo started; read line`

func TestProcesses(t *testing.T) {
	sb := sandbox(t, core.Limits{Processes: 20})
	assert.Equal(t, uint32(20), info(t, sb).Limits.Processes)

	p := harness.Shell(t, sb, fmt.Sprintf(many, 18))
	p.Running().Line("started\n")
	assert.Equal(t, "here\n", harness.Output(t, sb, "echo here"), "one more")
	// The owner's own programs are not refused, but count: what they start is.
	out, outcome := harness.Run(t, sb, "sh", "-c", "echo up; (echo down); echo no")
	assert.Contains(t, out, "up\n")
	assert.NotContains(t, out, "down")
	assert.Equal(t, handle.LimitHitProcesses, outcome.Limits)
	assert.Equal(t, handle.CauseExited, outcome.Cause)
	assert.NotZero(t, outcome.ExitCode)
	require.NoError(t, p.Signal(9))
	assert.Zero(t, p.End().Limits, "this one was within the limit")
	assert.Equal(t, "down\n", harness.Output(t, sb, "(echo down)"), "there is room again")
	harness.End(t, sb)
	assert.Equal(t, handle.LimitHitProcesses, sb.Outcome().Limits)
	assert.Equal(t, handle.CauseStopped, sb.Outcome().Cause)
}

// A process or thread that was refused leaves nothing behind that the limit counts.
func TestRefusedProcessesLeaveNothing(t *testing.T) {
	sb := sandbox(t, core.Limits{Processes: 6})
	p := harness.Shell(t, sb, fmt.Sprintf(many, 4))
	p.Running().Line("started\n")
	for range 50 {
		_, outcome := harness.Run(t, sb, "sh", "-c", "(:); :")
		require.Equal(t, handle.LimitHitProcesses, outcome.Limits)
	}
	require.NoError(t, p.Signal(9))
	p.End()
	p = harness.Shell(t, sb, fmt.Sprintf(many, 5))
	p.Running().Line("started\n")
	p.Stdin.Close()
	assert.Zero(t, p.End().Limits)
}

// The end of a program that was killed is told when all that it had started is gone.
func TestKilledProgramsMakeRoom(t *testing.T) {
	sb := sandbox(t, core.Limits{Processes: 40})
	for range 20 {
		p := harness.Shell(t, sb, fmt.Sprintf(many, 38))
		p.Running().Line("started\n")
		require.NoError(t, p.Signal(9))
		require.Zero(t, p.End().Limits)
	}
}

// A process that its parent traced, and waited for, has ended without the engine being
// told: it does not hold up the program's end, nor its usage.
func TestKilledTracersAreGone(t *testing.T) {
	o := harness.Options(t)
	o.Root = image.Root{Kind: image.Host} // for perl, which Debian always has
	sb := harness.Create(t, o)
	const traceMe, stop = 0, 19
	ptrace := map[string]int{"amd64": 101, "arm64": 117}[runtime.GOARCH]
	tracer := fmt.Sprintf(`$p = fork; if (!$p) { syscall(%d, %d, 0, 0, 0); kill %d, $$; sleep 1000 }
		$| = 1; waitpid($p, 2); open(F, "/proc/$p/status"); print grep(/^State:/, <F>);
		kill 9, $p; waitpid($p, 0); print "reaped\n"; sleep 1000`,
		ptrace, traceMe, stop)
	p := harness.Start(t, sb, core.ProcessOptions{
		Argv: []string{"perl", "-e", tracer}, Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.Null},
	})
	p.Running().Line("State:\tt (tracing stop)\nreaped\n")
	require.NoError(t, p.Signal(9))
	assert.NotZero(t, p.End().MemoryPeak, "the usage is known")
}

func TestOpenFiles(t *testing.T) {
	sb := sandbox(t, core.Limits{OpenFiles: 64})
	assert.Equal(t, "64 64\n", harness.Output(t, sb, `echo $(ulimit -n) $(ulimit -Hn)`))
	p := harness.Start(t, sb, core.ProcessOptions{
		Argv: []string{"true"}, Rlimits: []core.Rlimit{{Resource: 7, Soft: 65, Hard: 65}},
	})
	harness.Wait(t, p.Done(), "the start to fail")
	assert.Equal(t, fault.Exec, fault.From(p.StartErr()).Code, "above the sandbox's")
	assert.Equal(t, "32\n", harness.Output(t, sb, "ulimit -n 32; ulimit -n"))
	large := sandbox(t, core.Limits{OpenFiles: 200000})
	assert.Equal(t, "1024 200000\n", harness.Output(t, large, `echo $(ulimit -n) $(ulimit -Hn)`))
}

const spin = "while :; do :; done"

func TestProcessorTime(t *testing.T) {
	sb := sandbox(t, core.Limits{CPUTime: 500 * time.Millisecond})
	assert.Contains(t, receipt(t, sb, "processor time"), "500ms")
	assert.Equal(t, "rests\n", harness.Output(t, sb, "sleep 0.6; echo rests"), "time that passes does not count")
	p := harness.Shell(t, sb, spin)
	out := p.Running().End()
	assert.Equal(t, handle.CauseCPUTime, out.Cause)
	assert.Equal(t, handle.LimitHitCPUTime, out.Limits)
	harness.Wait(t, sb.Done(), "the sandbox to end")
	assert.Equal(t, handle.CauseCPUTime, sb.Outcome().Cause)
	assert.Equal(t, handle.LimitHitCPUTime, sb.Outcome().Limits&handle.LimitHitCPUTime)
}

// A file system without room is named when a program ends.
func TestOverlay(t *testing.T) {
	for _, path := range []string{"/root/fill", "/tmp/fill", "/dev/shm/fill"} {
		o := harness.Options(t)
		o.OverlayBytes = 4 << 20
		sb := harness.Create(t, o)
		_, out := harness.Run(t, sb, "sh", "-c", "exec head -c 2000000 /dev/zero >"+path)
		assert.Zero(t, out.ExitCode)
		assert.Zero(t, out.Limits, "within the limit")
		_, out = harness.Run(t, sb, "sh", "-c", "exec head -c 8000000 /dev/zero >"+path)
		assert.NotZero(t, out.ExitCode)
		assert.Equal(t, handle.LimitHitOverlay, out.Limits, path)
		_, out = harness.Run(t, sb, "rm", path)
		assert.Equal(t, handle.CauseExited, out.Cause)
		assert.Zero(t, out.Limits, "there is room again")
		harness.End(t, sb)
		assert.Equal(t, handle.LimitHitOverlay, sb.Outcome().Limits)
	}
}

func TestWallTimesAreNamed(t *testing.T) {
	sb := sandbox(t, core.Limits{})
	p := harness.Start(t, sb, core.ProcessOptions{Argv: []string{"sleep", "1000"}, WallLimit: 50 * time.Millisecond})
	assert.Equal(t, handle.LimitHitWallTime, p.End().Limits)
	o := harness.Options(t)
	o.MaxDuration = 200 * time.Millisecond
	sb = harness.Create(t, o)
	harness.Wait(t, sb.Done(), "the longest duration")
	assert.Equal(t, handle.LimitHitWallTime, sb.Outcome().Limits)
}

// A stored sandbox keeps its limits.
func TestStoredLimits(t *testing.T) {
	o := harness.Options(t)
	o.Name, o.Stored = "kept", true
	o.Limits = core.Limits{CPUTime: time.Hour, Processes: 33, OpenFiles: 77}
	harness.End(t, harness.Create(t, o))
	sb, err := core.StartStored(core.Options{Name: "kept", MsbPath: o.MsbPath, State: o.State})
	require.NoError(t, err)
	t.Cleanup(func() { harness.End(t, sb) })
	harness.Wait(t, sb.Ready(), "the stored sandbox")
	require.NoError(t, sb.StartErr())
	assert.Equal(t, o.Limits, info(t, sb).Limits)
	out, _ := harness.Run(t, sb, "sh", "-c", "ulimit -Hn")
	assert.Equal(t, "77\n", out)
}

func TestLimitsThatCannotBe(t *testing.T) {
	for name, l := range map[string]core.Limits{
		"cpu_permille":      {CPUPermille: 9},
		"cpu_weight":        {CPUWeight: 10001},
		"cpu_time_limit_ms": {CPUTime: time.Millisecond},
		"max_processes":     {Processes: 1 << 20},
		"max_open_files":    {OpenFiles: 15},
	} {
		o := harness.Options(t)
		o.Limits = l
		_, err := core.Create(o)
		assert.Equal(t, fault.Invalid, fault.From(err).Code, name)
		assert.ErrorContains(t, err, name)
	}
	for _, l := range []core.Limits{{CPUPermille: 5 << 20}, {CPUTime: -1}, {OpenFiles: 1<<20 + 1}} {
		o := harness.Options(t)
		o.Limits = l
		_, err := core.Create(o)
		assert.Equal(t, fault.Invalid, fault.From(err).Code, "%+v", l)
	}
}

// read collects what comes from a pipe's end.
func read(t *testing.T, r io.Reader) string {
	t.Helper()
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(data)
}
