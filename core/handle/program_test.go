package handle_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestEveryExitCode(t *testing.T) {
	sb := harness.New(t)
	step := 17
	if harness.Long() {
		step = 1
	}
	for c := 0; c <= 255; c += step {
		_, out := harness.Run(t, sb, "sh", "-c", fmt.Sprintf("exit %d", c))
		require.Equal(t, handle.CauseExited, out.Cause)
		require.Equal(t, int32(c), out.ExitCode)
		require.Zero(t, out.Signal)
		require.Positive(t, out.WallTime)
	}
}

func TestSignals(t *testing.T) {
	sb := harness.New(t)
	for _, sig := range []int{1, 2, 3, 9, 10, 15, 34, 64} {
		p := harness.Start(t, sb, core.ProcessOptions{Argv: []string{"cat"}, Stdio: [3]core.Stdio{harness.Pipe, harness.Pipe, harness.Null}}).Running()
		_, err := p.Stdin.WriteString("up\n")
		require.NoError(t, err)
		p.Line("up\n")
		require.NoError(t, p.Signal(sig))
		harness.Wait(t, p.Done(), fmt.Sprintf("the program to die of signal %d", sig))
		out := p.Outcome()
		assert.Equal(t, handle.CauseSignaled, out.Cause, sig)
		assert.Equal(t, int32(sig), out.Signal)
		assert.Equal(t, int32(-1), out.ExitCode)
		assert.ErrorIs(t, p.Signal(sig), code(fault.Done))
	}
	p := harness.Shell(t, sb, "trap 'echo caught' USR1; echo up; while :; do sleep 0.05; done").Running()
	p.Line("up\n")
	for _, sig := range []int{0, -1, 65} {
		assert.ErrorIs(t, p.Signal(sig), code(fault.Invalid))
	}
	require.NoError(t, p.Signal(10))
	p.Line("caught\n")
	require.NoError(t, p.Signal(9))
	assert.Equal(t, int32(9), p.End().Signal)
}

func TestProgramsThatCannotStart(t *testing.T) {
	sb := harness.New(t)
	for _, c := range []struct {
		argv  string
		cwd   string
		errno syscall.Errno
		stage fault.Stage
	}{
		{"no-such-program", "", syscall.ENOENT, fault.StageExec},
		{"/no/such/program", "", syscall.ENOENT, fault.StageExec},
		{"/etc/noexec", "", syscall.EACCES, fault.StageExec},
		{"/etc", "", syscall.EACCES, fault.StageExec},
		{"/etc/data/x", "", syscall.ENOTDIR, fault.StageExec},
		{"true", "/no/such/dir", syscall.ENOENT, fault.StageCwd},
		{"true", "/etc/data", syscall.ENOTDIR, fault.StageCwd},
	} {
		p := harness.Start(t, sb, core.ProcessOptions{Argv: []string{c.argv}, Cwd: c.cwd, Stdio: [3]core.Stdio{harness.Pipe, harness.Pipe, harness.Pipe}})
		harness.Wait(t, p.Ready(), "the start to fail")
		harness.Wait(t, p.Done(), "the start to fail")
		e := fault.From(p.StartErr())
		require.NotNil(t, e, c.argv)
		assert.Equal(t, fault.Exec, e.Code, e.Message)
		assert.Equal(t, c.errno, e.Errno, e.Message)
		assert.Equal(t, c.stage, e.Stage, e.Message)
		assert.Equal(t, handle.CauseStartFailed, p.Outcome().Cause)
		for _, end := range []io.Reader{p.Out, p.Err} {
			data, err := io.ReadAll(end)
			assert.NoError(t, err)
			assert.Empty(t, data, "its pipes end")
		}
	}
	assert.Equal(t, "/etc", strings.TrimSpace(outputIn(t, sb, "/etc")), "a good directory")
}

func outputIn(t *testing.T, sb *core.Sandbox, cwd string) string {
	t.Helper()
	p := harness.Start(t, sb, core.ProcessOptions{Argv: []string{"pwd"}, Cwd: cwd, Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.Null}})
	data, err := io.ReadAll(p.Out)
	require.NoError(t, err)
	require.Zero(t, p.End().ExitCode)
	return string(data)
}

func TestArgumentsAndEnvironmentAreBytes(t *testing.T) {
	sb := harness.New(t)
	every := make([]byte, 0, 255)
	for i := 1; i < 256; i++ {
		every = append(every, byte(i))
	}
	p := harness.Start(t, sb, core.ProcessOptions{
		Argv: []string{"sh", "-c", `printf %s "$1"; printf %s "$X"`, "sh", string(every)}, Env: []string{"X=" + string(every)},
		Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.Null},
	})
	data, err := io.ReadAll(p.Out)
	require.NoError(t, err)
	assert.Equal(t, string(every)+string(every), string(data))
	assert.Zero(t, p.End().ExitCode)
}

func TestManyQuickPrograms(t *testing.T) {
	sb := harness.New(t)
	const workers = 32
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range harness.Repeat(200, 3200) / workers {
				p, err := sb.Start(core.ProcessOptions{
					Argv:  []string{"sh", "-c", fmt.Sprintf("echo %d.%d; exit %d", w, i, w)},
					Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.Null},
				})
				if !assert.NoError(t, err) {
					return
				}
				fd, err := p.Stdio(1)
				assert.NoError(t, err)
				out := readFD(fd)
				harness.Wait(t, p.Done(), "a program")
				assert.Equal(t, fmt.Sprintf("%d.%d\n", w, i), out)
				assert.Equal(t, int32(w), p.Outcome().ExitCode)
				p.Close()
			}
		})
	}
	wg.Wait()
	info, err := sb.Info(context10(t))
	require.NoError(t, err)
	assert.Zero(t, info.Programs, "programs are forgotten when they end")
}

func TestProgramsStartedWhileTheSandboxStarts(t *testing.T) {
	sb, err := core.Create(harness.Options(t))
	require.NoError(t, err)
	defer harness.End(t, sb)
	var programs []*harness.Program
	for i := range 8 {
		p := harness.Start(t, sb, core.ProcessOptions{
			Argv: []string{"echo", fmt.Sprint(i)}, Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.Null},
		})
		assert.ErrorIs(t, p.Signal(15), code(fault.State))
		programs = append(programs, p)
	}
	for i, p := range programs {
		p.Line(fmt.Sprintf("%d\n", i))
		assert.Zero(t, p.End().ExitCode)
	}
}

func TestProgramsOfASandboxThatDoesNotStart(t *testing.T) {
	harness.NoLeaks(t)
	o := harness.Options(t)
	o.Root.Path = "/no/such/root"
	sb, err := core.Create(o)
	require.NoError(t, err)
	p := harness.Start(t, sb, core.ProcessOptions{Argv: []string{"true"}})
	harness.Wait(t, p.Done(), "the program to fail with its sandbox")
	assert.ErrorIs(t, p.StartErr(), code(fault.NotFound), "it is told the sandbox's error")
	harness.Wait(t, sb.Done(), "the sandbox to fail")
}

func TestProgramHandleGivenUp(t *testing.T) {
	sb := harness.New(t)
	p := harness.Shell(t, sb, "echo up; cat >/tmp/got").Running()
	p.Line("up\n")
	p.Close()
	p.Close()
	_, err := p.Stdin.WriteString("still here")
	require.NoError(t, err, "an end that was taken stays the caller's")
	p.Stdin.Close()
	assert.Zero(t, p.End().ExitCode)
	assert.Equal(t, "still here", harness.Output(t, sb, "cat /tmp/got"))
}

// Ends that nobody took are closed with the handle: the program sees it.
func TestUntakenEndsAreClosed(t *testing.T) {
	sb := harness.New(t)
	p, err := sb.Start(core.ProcessOptions{Argv: []string{"cat"}, Stdio: [3]core.Stdio{harness.Pipe, harness.Pipe, harness.Null}})
	require.NoError(t, err)
	harness.Wait(t, p.Ready(), "the program to start")
	require.NoError(t, p.StartErr())
	p.Close()
	harness.Wait(t, p.Done(), "cat to read the end of its input")
	_, err = p.Stdio(1)
	assert.ErrorIs(t, err, code(fault.State))
}

func TestMemoryLimitEndsTheSandbox(t *testing.T) {
	harness.NoLeaks(t)
	o := harness.Options(t)
	o.MemoryBytes, o.OverlayBytes = 96<<20, 96<<20
	sb := harness.Create(t, o)
	tree := harness.Tree(t, int(sb.Pid()))
	bystander := harness.Shell(t, sb, "echo up; cat").Running()
	bystander.Line("up\n")
	p := harness.Shell(t, sb, `x=0123456789abcdef; while :; do x="$x$x"; done`)
	harness.Wait(t, p.Done(), "the program to hit the limit")
	harness.Wait(t, sb.Done(), "the sandbox to end")
	assert.Equal(t, handle.CauseMemoryLimit, sb.Outcome().Cause)
	harness.Wait(t, bystander.Done(), "the others to end")
	assert.Equal(t, handle.CauseMemoryLimit, bystander.Outcome().Cause)
	assert.Empty(t, harness.Alive(tree))
	assert.Empty(t, harness.Entries(t, o.State.Dir))
}
