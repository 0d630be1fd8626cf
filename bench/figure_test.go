package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func steady(value float64) summary { return summarise([]float64{value, value}) }

func TestVerdict(t *testing.T) {
	peer := steady(100)
	slow := summarise([]float64{50, 90, 120, 200})
	tests := map[string]struct {
		figure figure
		want   string
	}{
		"faster than wanted":   {figure{ours: steady(80), peer: &peer, goal: 0.9}, "met"},
		"as fast as wanted":    {figure{ours: steady(90), peer: &peer, goal: 0.9}, "met"},
		"slower than wanted":   {figure{ours: steady(91), peer: &peer, goal: 0.9}, "MISSED"},
		"more than wanted":     {figure{ours: steady(130), peer: &peer, goal: 1.2, atLeast: true}, "met"},
		"less than wanted":     {figure{ours: steady(110), peer: &peer, goal: 1.2, atLeast: true}, "MISSED"},
		"nothing wanted":       {figure{ours: steady(500), peer: &peer}, ""},
		"below a limit":        {figure{ours: steady(99)}.against(100), "met"},
		"above a limit":        {figure{ours: steady(101)}.against(100), "MISSED"},
		"noise on our side":    {figure{ours: slow, peer: &peer, goal: 2}, "met (noisy)"},
		"noise on their side":  {figure{ours: steady(1), peer: &slow, goal: 2}, "met (noisy)"},
		"noise and no compare": {figure{ours: slow}, " (noisy)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { assert.Equal(t, test.want, test.figure.verdict()) })
	}
}

func TestJSONHasSixFieldsAndNullWithoutAPeer(t *testing.T) {
	peer := steady(4)
	path := filepath.Join(t.TempDir(), "bench.json")
	require.NoError(t, writeJSON(path, []figure{
		{name: "a", unit: "ms", ours: steady(2), peer: &peer, peerName: "runsc run"},
		{name: "b", unit: "ns", ours: steady(3)},
	}))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	var got []map[string]any
	require.NoError(t, json.Unmarshal(data, &got))
	assert.Equal(t, []map[string]any{
		{"name": "a", "ours": 2.0, "peer": 4.0, "peer_name": "runsc run", "ratio": 0.5, "unit": "ms"},
		{"name": "b", "ours": 3.0, "peer": nil, "peer_name": "", "ratio": nil, "unit": "ns"},
	}, got)
}

func TestTableShowsSpreadOnlyWhereThereIsOne(t *testing.T) {
	var out strings.Builder
	printTable(&out, []figure{
		{name: "time", unit: "ms", ours: summarise([]float64{1, 2, 3, 4, 5.5})},
		figure{name: "size", unit: "bytes", ours: steady(1234567)}.against(2000000),
	})
	assert.Contains(t, out.String(), "| time | ms | **3** (1, 2, 4, 5.5) |")
	assert.Contains(t, out.String(), "| size | bytes | 1234567 | 2000000 | limit | 0.62 | ≤ 1.0 | met |")
}
