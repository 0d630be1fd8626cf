package harness

import (
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
)

// Pipe, Null and FD are kinds of stdio.
var (
	Pipe = core.Stdio{Kind: core.StdioPipe}
	Null = core.Stdio{Kind: core.StdioNull}
)

// FD is a given descriptor.
func FD(f *os.File) core.Stdio { return core.Stdio{Kind: core.StdioFD, FD: int(f.Fd())} }

// Program is a started program with the pipes that were asked for.
type Program struct {
	*core.Process
	t     testing.TB
	Stdin *os.File
	Out   *os.File
	Err   *os.File
}

// Start starts a program with a pipe for each of the streams whose kind is one,
// and does not wait until it runs.
func Start(t testing.TB, sb *core.Sandbox, o core.ProcessOptions) *Program {
	t.Helper()
	p, err := sb.Start(o)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	prog := &Program{Process: p, t: t}
	for i, file := range []**os.File{&prog.Stdin, &prog.Out, &prog.Err} {
		if o.Stdio[i].Kind == core.StdioPipe {
			fd, err := p.Stdio(i)
			require.NoError(t, err)
			*file = os.NewFile(uintptr(fd), "pipe")
			t.Cleanup(func() { (*file).Close() })
		}
	}
	return prog
}

// Shell starts a shell script with pipes for stdout and stdin.
func Shell(t testing.TB, sb *core.Sandbox, script string) *Program {
	t.Helper()
	return Start(t, sb, core.ProcessOptions{
		Argv: []string{"sh", "-c", script}, Stdio: [3]core.Stdio{Pipe, Pipe, Null},
	})
}

// Running waits until the program runs.
func (p *Program) Running() *Program {
	p.t.Helper()
	Wait(p.t, p.Ready(), "the program to start")
	require.NoError(p.t, p.StartErr())
	return p
}

// Line waits for exactly these bytes on stdout: a program says so what it has
// come to.
func (p *Program) Line(want string) {
	p.t.Helper()
	p.Running() // it may speak before its start is known
	buf := make([]byte, len(want))
	done := make(chan error, 1)
	go func() { // no deadline holds on a descriptor that blocks
		_, err := io.ReadFull(p.Out, buf)
		done <- err
	}()
	select {
	case err := <-done:
		require.NoError(p.t, err)
	case <-time.After(Limit):
		p.t.Fatalf("the program did not say %q within %v", want, Limit)
	}
	require.Equal(p.t, want, string(buf))
}

// End waits for the program's end.
func (p *Program) End() core.Outcome {
	p.t.Helper()
	Wait(p.t, p.Done(), "the program to end")
	return p.Outcome()
}

// Run runs a program to its end and returns what it wrote to stdout.
func Run(t testing.TB, sb *core.Sandbox, argv ...string) (string, core.Outcome) {
	t.Helper()
	p := Start(t, sb, core.ProcessOptions{Argv: argv, Stdio: [3]core.Stdio{Null, Pipe, Null}})
	data, err := io.ReadAll(p.Out)
	require.NoError(t, err)
	p.Running()
	return string(data), p.End()
}

// Output runs a shell script that must succeed.
func Output(t testing.TB, sb *core.Sandbox, script string) string {
	t.Helper()
	out, outcome := Run(t, sb, "sh", "-c", script)
	require.Equal(t, int32(0), outcome.ExitCode, "%s: %+v", script, outcome)
	return out
}
