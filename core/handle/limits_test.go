//go:build linux

package handle_test

import (
	"io"
	"math"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// limited runs a shell script with options to its end.
func limited(t *testing.T, sb *core.Sandbox, script string, o core.ProcessOptions) (string, core.Outcome) {
	t.Helper()
	o.Argv = []string{"sh", "-c", script}
	o.Stdio = [3]core.Stdio{harness.Null, harness.Pipe, harness.Null}
	p := harness.Start(t, sb, o)
	out, err := io.ReadAll(p.Out)
	require.NoError(t, err)
	return string(out), p.Running().End()
}

func rlimit(resource uint32, soft, hard uint64) []core.Rlimit {
	return []core.Rlimit{{Resource: resource, Soft: soft, Hard: hard}}
}

// A limit that ends a program is named by the outcome; the same end without the
// limit is not.
func TestLimitsAreNamed(t *testing.T) {
	sb := harness.New(t)
	const spin = "while :; do :; done"
	for _, c := range []struct {
		name, script string
		o            core.ProcessOptions
		cause        uint32
		signal       syscall.Signal
	}{
		{"wall limit", "sleep 1000; :", core.ProcessOptions{WallLimit: 100 * time.Millisecond}, handle.CauseWallLimit, unix.SIGKILL},
		{"wall limit, and a family", "setsid sh -c 'sleep 1000; :' & (setsid sleep 1000 &); wait",
			core.ProcessOptions{WallLimit: 100 * time.Millisecond}, handle.CauseWallLimit, unix.SIGKILL},
		{"killed before its wall limit", "kill -KILL $$", core.ProcessOptions{WallLimit: time.Hour}, handle.CauseSignaled, unix.SIGKILL},
		{"processor time", spin, core.ProcessOptions{Rlimits: rlimit(unix.RLIMIT_CPU, 1, 10)}, handle.CauseCPULimit, unix.SIGXCPU},
		{"processor time, hard", "trap '' XCPU; " + spin, core.ProcessOptions{Rlimits: rlimit(unix.RLIMIT_CPU, 1, 2)}, handle.CauseCPULimit, unix.SIGKILL},
		{"sent by itself", "kill -XCPU $$", core.ProcessOptions{Rlimits: rlimit(unix.RLIMIT_CPU, 5, 5)}, handle.CauseSignaled, unix.SIGXCPU},
		{"file size", "exec head -c 4096 /dev/zero >/tmp/f", core.ProcessOptions{Rlimits: rlimit(unix.RLIMIT_FSIZE, 100, 100)}, handle.CauseFileLimit, unix.SIGXFSZ},
		{"no limit of file sizes", "kill -XFSZ $$", core.ProcessOptions{}, handle.CauseSignaled, unix.SIGXFSZ},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, out := limited(t, sb, c.script, c.o)
			assert.Equal(t, c.cause, out.Cause)
			assert.Equal(t, int32(c.signal), out.Signal)
			assert.Equal(t, int32(-1), out.ExitCode)
		})
	}
	_, out := limited(t, sb, "exit 4", core.ProcessOptions{WallLimit: time.Hour, Rlimits: rlimit(unix.RLIMIT_CPU, 5, 5)})
	assert.Equal(t, int32(4), out.ExitCode)
	assert.Equal(t, handle.CauseExited, out.Cause)
}

func TestKilledByUsIsNoLimit(t *testing.T) {
	sb := harness.New(t)
	p := harness.Start(t, sb, core.ProcessOptions{
		Argv: []string{"sh", "-c", "echo up; trap '' XCPU; while :; do :; done"}, Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.Null},
		Rlimits: rlimit(unix.RLIMIT_CPU, 100, 100),
	})
	p.Line("up\n")
	require.NoError(t, p.Running().Signal(9))
	assert.Equal(t, handle.CauseSignaled, p.End().Cause)
}

func TestUserUmaskAndLimits(t *testing.T) {
	sb := harness.New(t)
	umask := uint32(0o27)
	out, end := limited(t, sb, "id -u; id -g; id -G; umask; ulimit -n; ulimit -Hn", core.ProcessOptions{
		UID: 1000, GID: 1001, Groups: []uint32{7, 8}, Umask: &umask, Rlimits: rlimit(unix.RLIMIT_NOFILE, 32, 64),
	})
	assert.Equal(t, "1000\n1001\n1001 7 8\n0027\n32\n64\n", out)
	assert.Zero(t, end.ExitCode)
	out, _ = limited(t, sb, "id -u; id -g; umask", core.ProcessOptions{})
	assert.Equal(t, "0\n0\n0022\n", out)
}

func TestWrongUsersAndLimits(t *testing.T) {
	sb := harness.New(t)
	big := uint32(0o1000)
	for name, o := range map[string]core.ProcessOptions{
		"uid":             {UID: math.MaxUint32},
		"gid":             {GID: math.MaxUint32},
		"groups":          {Groups: []uint32{1, math.MaxUint32}},
		"umask":           {Umask: &big},
		"resource":        {Rlimits: rlimit(16, 1, 1)},
		"soft above hard": {Rlimits: rlimit(unix.RLIMIT_CPU, 2, 1)},
		"twice":           {Rlimits: append(rlimit(unix.RLIMIT_CPU, 1, 1), rlimit(unix.RLIMIT_CPU, 1, 1)...)},
		"wall limit":      {WallLimit: -time.Second},
	} {
		o.Argv = []string{"true"}
		_, err := sb.Start(o)
		assert.ErrorIs(t, err, code(fault.Invalid), name)
	}
	_, err := sb.Start(core.ProcessOptions{Argv: []string{"true"}, Groups: make([]uint32, core.MaxGroups+1)})
	assert.ErrorIs(t, err, code(fault.Limit))
	for want, limits := range map[fault.Code][]core.Rlimit{
		fault.Unsupported: rlimit(unix.RLIMIT_NICE, 1, 1), fault.Exec: rlimit(unix.RLIMIT_MEMLOCK, 1<<40, 1<<40),
	} {
		p := harness.Start(t, sb, core.ProcessOptions{Argv: []string{"true"}, Rlimits: limits})
		harness.Wait(t, p.Done(), "the start to fail")
		assert.ErrorIs(t, p.StartErr(), code(want))
	}
}

func TestUsageOfPrograms(t *testing.T) {
	sb := harness.New(t)
	_, idle := limited(t, sb, ":", core.ProcessOptions{})
	assert.GreaterOrEqual(t, idle.CPUTime, time.Duration(0))
	assert.NotZero(t, idle.MemoryPeak)
	_, busy := limited(t, sb, "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; :", core.ProcessOptions{})
	assert.Greater(t, busy.CPUTime, idle.CPUTime+20*time.Millisecond)
	assert.LessOrEqual(t, busy.CPUTime, busy.WallTime+50*time.Millisecond)
}
