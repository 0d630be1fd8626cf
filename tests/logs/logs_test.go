package logs_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/logs"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestBytesAndSources(t *testing.T) {
	harness.NoLeaks(t)
	o := options(t, "bytes")
	sb := harness.Create(t, o)
	first := say(t, sb, `printf 'a\000\377\n\r\033b'; echo wrong >&2; exit 3`)
	assert.Equal(t, int32(3), first.End().ExitCode)
	second := say(t, sb, "echo second")
	second.End()
	assert.Equal(t, []uint64{1, 2}, []uint64{first.Number(), second.Number()})
	all := read(t, "bytes", o.State, core.LogOptions{})
	for i, e := range all {
		require.True(t, i == 0 || e.Position == all[i-1].Position+uint64(len(all[i-1].Content)))
	}
	assert.Equal(t, "a\x00\xff\n\r\x1bb", text(read(t, "bytes", o.State, core.LogOptions{Program: 1}), logs.Stdout))
	assert.Equal(t, "wrong\n", text(all, logs.Stderr))
	notes := text(all, logs.Supervisor)
	for _, want := range []string{"sandbox started", `program 1: "sh" started`, "program 1: exited with code 3", "program 2: exited with code 0"} {
		assert.Contains(t, notes, want)
	}
	assert.NotContains(t, notes, "printf", "arguments are nobody's business")
	harness.End(t, sb)
	_, err := core.ReadLogs("bytes", o.State, core.LogOptions{})
	assert.ErrorIs(t, err, &fault.Error{Code: fault.NotFound}, "it went with the sandbox")
}

// What a program has written is in the log when its end is known.
func TestEndAfterOutput(t *testing.T) {
	o := options(t, "order")
	sb := harness.Create(t, o)
	for i := range harness.Repeat(20, 300) {
		p := say(t, sb, fmt.Sprintf("seq %d; echo end-%d", 1+i*500%20000, i))
		p.End()
		last := read(t, "order", o.State, core.LogOptions{Lines: 1, Sources: []logs.Source{logs.Stdout}})
		require.Equal(t, fmt.Sprintf("end-%d\n", i), text(last, logs.Stdout))
	}
}

func TestTwoProgramsAtOnce(t *testing.T) {
	o := options(t, "two")
	o.LogMaxBytes = 64 << 20
	sb := harness.Create(t, o)
	lines := harness.Repeat(5000, 200000)
	script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do i=$((i+1)); echo $i; done", lines)
	one, two := say(t, sb, script), say(t, sb, script)
	one.End()
	two.End()
	var want bytes.Buffer
	for i := range lines {
		fmt.Fprintln(&want, i+1)
	}
	for _, p := range []*harness.Program{one, two} {
		got := text(read(t, "two", o.State, core.LogOptions{Program: p.Number()}), logs.Stdout)
		require.True(t, want.String() == got, "program %d: %d of %d bytes", p.Number(), len(got), want.Len())
	}
}

func TestOrphanIsLogged(t *testing.T) {
	o := options(t, "orphan")
	sb := harness.Create(t, o)
	r := open(t, "orphan", o.State, core.LogOptions{Follow: true, Sources: []logs.Source{logs.Stdout}})
	p := say(t, sb, "(read x </dev/null; sleep 0.3; echo later; sleep 1000) & echo now")
	assert.Equal(t, "now\n", string(next(t, r).Content))
	p.End()
	assert.Equal(t, "later\n", string(next(t, r).Content))
	harness.End(t, sb)
	assert.Zero(t, next(t, r).Source, "the sandbox's end is the log's")
}

// Rotation under load, followed: all comes, or a gap says how much does not.
func TestFollowAFlood(t *testing.T) {
	harness.NoLeaks(t)
	o := options(t, "flood")
	o.LogMaxBytes = logs.MinFileBytes
	sb := harness.Create(t, o)
	r := open(t, "flood", o.State, core.LogOptions{Follow: true})
	const total = 20 << 20
	p := say(t, sb, fmt.Sprintf("yes 0123456789abcde | head -c %d", total))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-p.Done()
		sb.Stop(-1)
	}()
	position, stdout, missed := uint64(0), 0, uint64(0)
	for e := next(t, r); e.Source != 0; e = next(t, r) {
		require.Equal(t, position, e.Position)
		position += uint64(len(e.Content))
		switch e.Source {
		case logs.Gap:
			position += e.Missed - uint64(len(e.Content))
			missed += e.Missed
		case logs.Stdout:
			stdout += len(e.Content)
			require.Empty(t, strings.Trim(string(e.Content), "0123456789abcde\n"))
		}
		require.LessOrEqual(t, size(t, logFiles(t, o.State)), int64(4*logs.MinFileBytes))
	}
	<-ended
	assert.GreaterOrEqual(t, position, uint64(total))
	assert.GreaterOrEqual(t, uint64(stdout)+missed, uint64(total))
	t.Logf("%d bytes read, %d rotated away before", stdout, missed)
}

func TestFollowerOfAKilledSandbox(t *testing.T) {
	o := options(t, "killed")
	o.Stored, o.LogMaxBytes = true, logs.MinFileBytes
	for run := range harness.Repeat(4, 30) {
		begin := core.Create
		if run > 0 {
			begin = func(core.Options) (*core.Sandbox, error) {
				return core.StartStored(core.Options{Name: o.Name, MsbPath: o.MsbPath, State: o.State})
			}
		}
		sb, err := begin(o)
		require.NoError(t, err)
		harness.Wait(t, sb.Ready(), "the sandbox")
		require.NoError(t, sb.StartErr())
		r := open(t, "killed", o.State, core.LogOptions{Follow: true, Lines: -1, Sources: []logs.Source{logs.Stdout}})
		p := say(t, sb, "yes 0123456789abcde")
		for range 20 * (run + 1) { // anywhere in a write
			next(t, r)
		}
		require.NoError(t, syscall.Kill(int(sb.Pid()), syscall.SIGKILL))
		for e := next(t, r); e.Source != 0; e = next(t, r) {
			require.True(t, e.Source == logs.Gap || strings.Trim(string(e.Content), "0123456789abcde\n") == "")
		}
		r.Close()
		p.End()
		harness.End(t, sb)
		position := uint64(0)
		for i, e := range read(t, "killed", o.State, core.LogOptions{}) {
			require.True(t, i == 0 || e.Position == position, "%d, want %d", e.Position, position)
			position = e.Position + uint64(len(e.Content))
			if e.Source == logs.Gap {
				position = e.Position + e.Missed
			}
		}
	}
	require.NoError(t, core.Remove(o.Name, o.State))
	assert.Empty(t, logFiles(t, o.State))
}

func TestStoredLogSurvivesRunsUntilRemoved(t *testing.T) {
	o := options(t, "kept")
	o.Stored = true
	sb := harness.Create(t, o)
	say(t, sb, "echo one").End()
	harness.End(t, sb)
	again, err := core.StartStored(core.Options{Name: "kept", MsbPath: o.MsbPath, State: o.State})
	require.NoError(t, err)
	t.Cleanup(func() { harness.End(t, again) })
	harness.Wait(t, again.Ready(), "the second run")
	say(t, again, "echo two").End()
	harness.End(t, again)
	all := read(t, "kept", o.State, core.LogOptions{Follow: true})
	assert.Equal(t, "one\ntwo\n", text(all, logs.Stdout))
	assert.Equal(t, 2, strings.Count(text(all, logs.Supervisor), "sandbox ended: stopped"))

	o.Replace = true
	harness.End(t, harness.Create(t, o))
	assert.NotContains(t, text(read(t, "kept", o.State, core.LogOptions{}), logs.Stdout), "one", "that was another sandbox")
	require.NoError(t, core.Remove("kept", o.State))
	_, err = core.ReadLogs("kept", o.State, core.LogOptions{})
	assert.ErrorIs(t, err, &fault.Error{Code: fault.NotFound})
}

func TestLogSaysHowTheEngineEnded(t *testing.T) {
	o := options(t, "crash")
	o.Stored = true
	sb := harness.Create(t, o)
	for _, process := range harness.Tree(t, int(sb.Pid()))[1:] { // the sentry is among the supervisor's children
		syscall.Kill(process.Pid, syscall.SIGKILL)
	}
	harness.Wait(t, sb.Done(), "the sandbox to end")
	require.Equal(t, handle.CauseCrashed, sb.Outcome().Cause)
	notes := text(read(t, "crash", o.State, core.LogOptions{}), logs.Supervisor)
	assert.Regexp(t, `has ended: (killed by signal|exited with code) \d+\n(.*\n)*sandbox ended: the engine crashed`, notes)
}

func TestFailedBootLeavesItsLog(t *testing.T) {
	o := options(t, "broken")
	o.Stored, o.Root = true, image.Root{Kind: image.Dir, Path: "/nonexistent-root"}
	sb, err := core.Create(o)
	if err == nil {
		harness.Wait(t, sb.Done(), "the failure")
		err = sb.StartErr()
	}
	require.ErrorContains(t, err, "/nonexistent-root")
	notes := text(read(t, "broken", o.State, core.LogOptions{Lines: 1}), logs.Supervisor)
	assert.Contains(t, notes, "boot failed")
	assert.Contains(t, notes, err.Error(), "the last line is the error")
	findings, err := core.Audit(o.State)
	require.NoError(t, err)
	require.Len(t, findings, 1)
	assert.Equal(t, "log", findings[0].Kind)
	assert.Contains(t, findings[0].Detail, `"broken"`)
	require.NoError(t, core.Remove("broken", o.State))
	assert.Error(t, core.Remove("broken", o.State))
	o.Name, o.Stored = "temporary", false
	sb, err = core.Create(o)
	require.NoError(t, err)
	harness.Wait(t, sb.Done(), "the failure")
	assert.Error(t, sb.StartErr())
	findings, err = core.Audit(o.State)
	require.NoError(t, err)
	assert.Empty(t, findings, "of a temporary one nothing is left")
}

// The page is enough to read a log: its script does.
func TestScriptOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/logs.md")
	require.NoError(t, err)
	script := regexp.MustCompile("(?s)```python\n(.*?)```").FindSubmatch(page)
	require.NotNil(t, script)
	python, err := exec.LookPath("python3")
	require.NoError(t, err)
	o := options(t, "script")
	o.LogMaxBytes = logs.MinFileBytes
	sb := harness.Create(t, o)
	say(t, sb, `seq 30000; printf '\000\377'`).End()
	out, err := exec.Command(python, "-c", string(script[1]), filepath.Dir(logFiles(t, o.State)[0])).Output()
	require.NoError(t, err)
	var want strings.Builder
	for _, e := range read(t, "script", o.State, core.LogOptions{}) {
		if e.Source != logs.Gap { // what was rotated away: in no file
			fmt.Fprintf(&want, "%d %d %d %d %x\n", e.Source, e.Program, e.Time.UnixNano(), e.Position, e.Content)
		}
	}
	assert.True(t, want.String() == string(out), "%d bytes, want %d", len(out), want.Len())
	assert.Greater(t, want.Len(), 1000)
}

func TestUnwantedOptions(t *testing.T) {
	o := options(t, "limits")
	for _, most := range []uint64{1, logs.MinFileBytes - 1, logs.MaxFileBytes + 1, 1 << 63} {
		o.LogMaxBytes = most
		_, err := core.Create(o)
		assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, "%d", most)
	}
	_, err := core.ReadLogs("a/b", o.State, core.LogOptions{})
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid})
	sb := harness.New(t)
	_, err = sb.Start(core.ProcessOptions{Argv: []string{"true"}, Stdio: [3]core.Stdio{{Kind: core.StdioLog}}})
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Invalid}, "nobody reads a log into a program")
}

// A reader and a writer of different speed: the sandbox does not notice.
func TestStalledReaderStallsNobody(t *testing.T) {
	o := options(t, "stalled")
	o.LogMaxBytes = logs.MinFileBytes
	sb := harness.Create(t, o)
	r := open(t, "stalled", o.State, core.LogOptions{Follow: true})
	require.NotZero(t, next(t, r).Source) // and no more
	begin := time.Now()
	out := say(t, sb, "head -c 4000000 /dev/zero").End()
	assert.Equal(t, handle.CauseExited, out.Cause)
	t.Logf("4 MB in %v", time.Since(begin))
	harness.End(t, sb)
	gaps := 0
	for e := next(t, r); e.Source != 0; e = next(t, r) {
		if e.Source == logs.Gap {
			gaps++
		}
	}
	assert.NotZero(t, gaps)
}
