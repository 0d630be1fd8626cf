package metrics

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// series parses OpenMetrics text with Prometheus's own parser and returns the values
// by name, of the one sandbox that is in it.
func series(t *testing.T, text []byte, sandbox string) map[string]float64 {
	t.Helper()
	p := textparse.NewOpenMetricsParser(text, labels.NewSymbolTable())
	values := map[string]float64{}
	for {
		entry, err := p.Next()
		if err == io.EOF {
			return values
		}
		require.NoError(t, err, "%s", text)
		if entry != textparse.EntrySeries {
			continue
		}
		_, _, v := p.Series()
		var l labels.Labels
		p.Metric(&l)
		assert.Equal(t, sandbox, l.Get("sandbox"))
		values[l.Get("__name__")] = v
	}
}

func TestMetricsCommand(t *testing.T) {
	o := sampled(t, `odd "name"`)
	out, err := msb(t, o, "metrics").Output()
	require.NoError(t, err)
	assert.Empty(t, series(t, out, ""), "no sandbox, no registry")
	harness.Create(t, o)
	m := awaitSample(t, o)
	out, err = msb(t, o, "metrics").Output()
	require.NoError(t, err)
	values := series(t, out, o.Name)
	assert.Equal(t, float64(m.Limits.MemoryBytes), values["microsandbox_memory_limit_bytes"])
	assert.Positive(t, values["microsandbox_memory_used_bytes"])
	assert.Positive(t, values["microsandbox_uptime_seconds"])
	assert.Contains(t, values, "microsandbox_cpu_seconds_total")
}

func TestTopCommand(t *testing.T) {
	o := sampled(t, "watched")
	harness.Create(t, o)
	awaitSample(t, o)
	out, err := msb(t, o, "top", "-n", "1").Output()
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	require.Len(t, lines, 2)
	assert.Regexp(t, `^NAME +PROGRAMS +CPU% +CPU +MEMORY +PEAK +LIMIT +UPTIME`, lines[0])
	assert.Regexp(t, `^watched +0 +.* MiB .* MiB +512 MiB +\d+s$`, lines[1])

	for _, bad := range [][]string{{"-interval", "0s"}, {"-interval", "soon"}} {
		err := msb(t, o, "top", bad...).Run()
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit)
		assert.Equal(t, 2, exit.ExitCode(), bad)
	}
}

// TestTopIsLive: it shows what starts and ends while it runs, until a signal.
func TestTopIsLive(t *testing.T) {
	o := sampled(t, "first")
	harness.Create(t, o)
	awaitSample(t, o)
	cmd := msb(t, o, "top", "-interval", "20ms")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	screens := bufio.NewScanner(stdout)
	screens.Split(splitScreens)
	shows := func(want ...string) {
		t.Helper()
		for screens.Scan() {
			var names []string
			for _, line := range strings.Split(strings.TrimSpace(screens.Text()), "\n")[1:] {
				names = append(names, strings.Fields(line)[0])
			}
			if assert.ObjectsAreEqual(want, names) {
				return
			}
		}
		t.Fatalf("top ended before it showed %v", want)
	}
	shows("first")
	second := o
	second.Name = "second"
	sb := harness.Create(t, second)
	shows("first", "second")
	harness.End(t, sb)
	shows("first")
	require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
	for screens.Scan() {
	}
	assert.NoError(t, cmd.Wait())
}

// splitScreens gives what stands between two clearings of the screen.
func splitScreens(data []byte, atEOF bool) (advance int, token []byte, err error) {
	const clear = "\x1b[H\x1b[J"
	text := string(data)
	start := strings.Index(text, clear)
	if start < 0 {
		return 0, nil, nil
	}
	if length := strings.Index(text[start+len(clear):], clear); length >= 0 {
		end := start + len(clear) + length
		return end, data[start+len(clear) : end], nil
	}
	return 0, nil, nil
}
