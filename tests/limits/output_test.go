package limits_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/logs"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

const outputLimit = 100_000

// A program that writes more than it may is killed with all that it started, and
// exactly the allowed bytes arrive, whatever the stream is.
func TestOutput(t *testing.T) {
	o := harness.Options(t)
	o.Name = "output"
	sb := harness.Create(t, o)
	for name, open := range map[string]func(t *testing.T) (core.Stdio, func(*harness.Program) int){
		"pipe": func(t *testing.T) (core.Stdio, func(*harness.Program) int) {
			return harness.Pipe, func(p *harness.Program) int { return len(read(t, p.Out)) }
		},
		"file": func(t *testing.T) (core.Stdio, func(*harness.Program) int) {
			return file(t, os.O_RDWR)
		},
		"file for appending": func(t *testing.T) (core.Stdio, func(*harness.Program) int) {
			return file(t, os.O_RDWR|os.O_APPEND)
		},
		"given pipe": func(t *testing.T) (core.Stdio, func(*harness.Program) int) {
			r, w, err := os.Pipe()
			require.NoError(t, err)
			return given(t, r, w)
		},
		"socket": func(t *testing.T) (core.Stdio, func(*harness.Program) int) {
			fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			require.NoError(t, err)
			return given(t, os.NewFile(uintptr(fds[0]), "socket"), os.NewFile(uintptr(fds[1]), "socket"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			for script, over := range map[string]bool{
				"head -c 100000 /dev/zero":             false,
				"yes & setsid yes >&2 & wait":          true,
				"head -c 100001 /dev/zero; sleep 1000": true,
			} {
				kind, arrived := open(t)
				options := core.ProcessOptions{
					Argv: []string{"sh", "-c", script}, Stdio: [3]core.Stdio{harness.Null, kind, harness.Null}, OutputLimit: outputLimit,
				}
				p := harness.Start(t, sb, options)
				p.Running()
				n := arrived(p)
				out := p.End()
				assert.Equal(t, outputLimit, n, script)
				if over {
					assert.Equal(t, handle.CauseOutputLimit, out.Cause, script)
					assert.Equal(t, handle.LimitHitOutput, out.Limits)
					assert.Equal(t, int32(unix.SIGKILL), out.Signal)
				} else {
					assert.Equal(t, handle.CauseExited, out.Cause, script)
					assert.Zero(t, out.Limits)
				}
			}
			assert.Equal(t, "0\n", harness.Output(t, sb, "ps | grep -c '[y]es'; :"), "all that it started is gone")
		})
	}
}

func file(t *testing.T, flags int) (core.Stdio, func(*harness.Program) int) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "out"), flags|os.O_CREATE, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return harness.FD(f), func(p *harness.Program) int {
		p.End()
		st, err := f.Stat()
		require.NoError(t, err)
		return int(st.Size())
	}
}

func given(t *testing.T, ours, theirs *os.File) (core.Stdio, func(*harness.Program) int) {
	t.Cleanup(func() { ours.Close() })
	t.Cleanup(func() { theirs.Close() })
	return harness.FD(theirs), func(*harness.Program) int {
		theirs.Close()
		return len(read(t, ours))
	}
}

// Both streams count together, and so does what goes to the log.
func TestOutputOfBothStreams(t *testing.T) {
	o := harness.Options(t)
	o.Name = "output"
	sb := harness.Create(t, o)
	p := harness.Start(t, sb, core.ProcessOptions{
		Argv: []string{"sh", "-c", "head -c 60000 /dev/zero; head -c 60000 /dev/zero >&2; sleep 1000"}, OutputLimit: outputLimit,
		Stdio: [3]core.Stdio{harness.Null, {Kind: core.StdioLog}, {Kind: core.StdioLog}},
	})
	assert.Equal(t, handle.CauseOutputLimit, p.Running().End().Cause)
	harness.End(t, sb)
	assert.Equal(t, handle.LimitHitOutput, sb.Outcome().Limits)
}

func TestOutputInTheLog(t *testing.T) {
	o := harness.Options(t)
	o.Name = "logged"
	sb := harness.Create(t, o)
	for _, over := range []string{"", "x"} {
		p := harness.Start(t, sb, core.ProcessOptions{
			Argv: []string{"sh", "-c", "printf 12345678" + over + "; sleep 0"}, OutputLimit: 8,
			Stdio: [3]core.Stdio{harness.Null, {Kind: core.StdioLog}, harness.Null},
		})
		out := p.Running().End()
		assert.Equal(t, over != "", out.Limits == handle.LimitHitOutput)
	}
	r, err := core.ReadLogs("logged", o.State, core.LogOptions{Sources: []logs.Source{logs.Stdout}})
	require.NoError(t, err)
	defer r.Close()
	text := ""
	for e, err := range r.All(context.Background()) {
		require.NoError(t, err)
		text += string(e.Content)
	}
	assert.Equal(t, strings.Repeat("12345678", 2), text)
}
