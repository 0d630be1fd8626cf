//go:build linux

package metrics

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A program that knows docs/metrics.md and nothing else reads a registry.
func TestPythonReadsTheLayout(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	dir := t.TempDir()
	reg := open(t, dir, 16)
	reserve(t, reg, "starting")
	w, token := activate(t, reg, "wéb")
	for n := uint64(1); n <= 4; n++ {
		require.NoError(t, w.Write(patterned(n)))
	}
	ended, _ := activate(t, reg, "ended")
	s := patterned(9)
	s.Present = HasPrograms
	require.NoError(t, ended.Write(s))
	require.NoError(t, ended.Release(true))
	e, err := reg.ByName("wéb")
	require.NoError(t, err)

	script := filepath.Join("testdata", "read_registry.py")
	out, err := exec.Command(python, script, filepath.Join(dir, fileName)).CombinedOutput()
	require.NoError(t, err, "%s", out)
	var rows []map[string]any
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		row := map[string]any{}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row), "%s", lines.Text())
		rows = append(rows, row)
	}
	require.Len(t, rows, 3, "%s", out)
	assert.Equal(t, "starting", rows[0]["name"])
	assert.Equal(t, "reserved", rows[0]["state"])
	assert.Nil(t, rows[0]["sample"])
	assert.Equal(t, float64(os.Getpid()), rows[0]["launcher"])

	assert.Equal(t, "wéb", rows[1]["name"])
	assert.Equal(t, "id-wéb", rows[1]["id"])
	assert.Equal(t, "active", rows[1]["state"])
	assert.Equal(t, float64(token.Generation), rows[1]["generation"])
	assert.Equal(t, float64(e.Supervisor.Start), rows[1]["supervisor_start"])
	assert.Equal(t, float64(e.Started.UnixMilli()), rows[1]["started_unix_ms"])
	assert.Equal(t, float64(1<<30), rows[1]["memory_limit_bytes"])
	assert.Equal(t, float64(1<<20), rows[1]["overlay_limit_bytes"])
	assert.Equal(t, map[string]any{
		"number": 4.0, "sampled_unix_ms": float64(e.Sample.SampledAt.UnixMilli()), "monotonic_ns": float64(e.Sample.Monotonic),
		"cpu_time_ns": 4.0, "cpu_permille": 12.0, "memory_used_bytes": 20.0, "memory_peak_bytes": 28.0,
		"overlay_used_bytes": 44.0, "disk_read_bytes": 52.0, "disk_written_bytes": 68.0, "network_received_bytes": 76.0,
		"network_sent_bytes": 92.0, "programs": 116.0, "uptime_ns": 124.0,
	}, rows[1]["sample"])

	assert.Equal(t, "stale", rows[2]["state"])
	sample := rows[2]["sample"].(map[string]any)
	assert.Equal(t, float64(9*29), sample["programs"])
	assert.NotContains(t, sample, "cpu_time_ns")

	require.NoError(t, os.Truncate(filepath.Join(dir, fileName), 400))
	out, err = exec.Command(python, script, filepath.Join(dir, fileName)).CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "damaged")
}

// The offsets of the document are those of the code.
func TestDocumentedLayout(t *testing.T) {
	text, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	documented := map[string]int64{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(0x[0-9a-f]+)` \\|.*\\| \\*\\*([a-z ]+)\\*\\*").FindAllStringSubmatch(string(text), -1) {
		at, err := strconv.ParseInt(m[1], 0, 64)
		require.NoError(t, err)
		require.NotContains(t, documented, m[2])
		documented[m[2]] = at
	}
	for name, at := range map[string]int64{
		"header check": headerEnd, "last generation": offGeneration, "used slots": offUsed,
		"state": offState, "generation": offSlotGen, "sequence": offSequence, "identity check": offIdentity,
		"id": offID, "name": offName, "even samples": offSamples, "odd samples": offSamples + sampleSize,
		"sample check": 0, "uptime": 6 * 8, "programs": 16 * 8,
	} {
		assert.Equal(t, at, documented[name], name)
		assert.Contains(t, documented, name)
	}
}
