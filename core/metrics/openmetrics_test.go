//go:build linux

package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parsed is what the parser of Prometheus makes of a text.
type parsed struct {
	series map[string]float64 // name{labels}
	types  map[string]string
	units  map[string]string
	help   map[string]string
	labels []labels.Labels
}

func parse(t *testing.T, text []byte) (p parsed, err error) {
	t.Helper()
	p = parsed{series: map[string]float64{}, types: map[string]string{}, units: map[string]string{}, help: map[string]string{}}
	parser, err := textparse.New(text, ContentType, "", false, false, labels.NewSymbolTable())
	require.NoError(t, err)
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return p, nil
		}
		if err != nil {
			return p, err
		}
		switch entry {
		case textparse.EntryType:
			name, kind := parser.Type()
			p.types[string(name)] = string(kind)
		case textparse.EntryUnit:
			name, unit := parser.Unit()
			p.units[string(name)] = string(unit)
		case textparse.EntryHelp:
			name, help := parser.Help()
			p.help[string(name)] = string(help)
		case textparse.EntrySeries:
			_, stamp, value := parser.Series()
			assert.Nil(t, stamp)
			var l labels.Labels
			parser.Metric(&l)
			if _, twice := p.series[l.String()]; twice {
				return p, fmt.Errorf("%s comes twice", l)
			}
			p.series[l.String()] = value
			p.labels = append(p.labels, l)
		}
	}
}

func render(t *testing.T, entries []Entry) []byte {
	t.Helper()
	var text bytes.Buffer
	require.NoError(t, WriteOpenMetrics(&text, entries))
	return text.Bytes()
}

func TestOpenMetrics(t *testing.T) {
	odd := "a\"b\\c\nd é \xff"
	s := patterned(1000)
	s.CPUTime, s.Uptime, s.SampledAt = 1500*time.Millisecond, 61*time.Second, time.UnixMilli(1_700_000_000_123)
	s.NetworkSentBytes = 1 << 62
	entries := []Entry{
		{Name: "web", ID: "1", HasSample: true, Sample: s, Limits: Limits{MemoryBytes: 1 << 30}},
		{Name: odd, ID: "2", HasSample: true, Sample: Sample{Present: HasPrograms, Programs: 3}},
		{Name: "new", ID: "3"},
		{Name: "web", ID: "1", HasSample: true, Sample: Sample{Present: allFields}},
	}
	text := render(t, entries)
	p, err := parse(t, text)
	require.NoError(t, err, "%s", text)

	value := func(name, sandbox, id string) float64 {
		key := labels.FromStrings("__name__", name, "sandbox", sandbox, "id", id).String()
		v, found := p.series[key]
		require.True(t, found, "%s\n%s", key, text)
		return v
	}
	assert.Equal(t, 1.5, value("microsandbox_cpu_seconds_total", "web", "1"))
	assert.Equal(t, 3.0, value("microsandbox_cpu_usage_ratio", "web", "1"))
	assert.Equal(t, 61.0, value("microsandbox_uptime_seconds", "web", "1"))
	assert.Equal(t, float64(1<<30), value("microsandbox_memory_limit_bytes", "web", "1"))
	assert.Equal(t, float64(1<<62), value("microsandbox_network_sent_bytes_total", "web", "1"))
	assert.Equal(t, 1_700_000_000.123, value("microsandbox_sampled_timestamp_seconds", "web", "1"))
	assert.Equal(t, 3.0, value("microsandbox_programs", "a\"b\\c\nd é \uFFFD", "2"))
	for _, l := range p.labels {
		assert.NotEqual(t, "3", l.Get("id"), "no sample, no line")
		assert.NotEqual(t, "microsandbox_overlay_limit_bytes", l.Get("__name__"), "there is no limit")
	}
	assert.Len(t, p.types, len(families))
	for _, f := range families {
		assert.Equal(t, f.kind, p.types[f.name])
		assert.Equal(t, f.unit, p.units[f.name])
		assert.NotEmpty(t, p.help[f.name])
		assert.True(t, strings.HasSuffix(f.name, f.unit), "OpenMetrics wants the unit at the name's end")
	}
}

func TestOpenMetricsOfNothing(t *testing.T) {
	text := render(t, nil)
	p, err := parse(t, text)
	require.NoError(t, err)
	assert.Empty(t, p.series)
	assert.True(t, bytes.HasSuffix(text, []byte("# EOF\n")))
	_, err = parse(t, bytes.TrimSuffix(text, []byte("# EOF\n"))) // the parser does look
	require.Error(t, err)
}

func TestOpenMetricsReportsItsWriter(t *testing.T) {
	r, w := io.Pipe()
	r.CloseWithError(io.ErrShortWrite)
	require.ErrorIs(t, WriteOpenMetrics(w, nil), io.ErrShortWrite)
}
