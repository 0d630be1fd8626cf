package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSidesTakeTurnsAtBeingFirst(t *testing.T) {
	var order []string
	one := func(name string, answer float64) side {
		return func() ([]float64, error) {
			order = append(order, name)
			return []float64{answer, -answer}, nil
		}
	}
	answers, err := inTurns(1, 2, one("a", 1), one("b", 2), one("c", 3))
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "b", "c", "b", "c", "a", "c", "a", "b"}, order)
	assert.Equal(t, [][][]float64{{{1, 1}, {-1, -1}}, {{2, 2}, {-2, -2}}, {{3, 3}, {-3, -3}}}, answers)
}

func TestGrowthInCyclesFailsTheRun(t *testing.T) {
	early := look{threads: 8, descriptors: 10, files: 2, resident: 100 << 20}
	tests := map[string]struct {
		change func(*look)
		want   string
	}{
		"nothing":             {func(*look) {}, ""},
		"little memory":       {func(l *look) { l.resident *= 1.049 }, ""},
		"a thread":            {func(l *look) { l.threads += 3 }, "threads: 11 instead of 8 after 10 cycles"},
		"a descriptor":        {func(l *look) { l.descriptors++ }, "descriptors: 11 instead of 10"},
		"a descriptor gone":   {func(l *look) { l.descriptors-- }, "descriptors: 9 instead of 10"},
		"a handle":            {func(l *look) { l.handleSlot++ }, "handle slot: 1 instead of 0"},
		"a zombie":            {func(l *look) { l.children++ }, "children: 1 instead of 0"},
		"a file":              {func(l *look) { l.files++ }, "files in the state directory: 3 instead of 2"},
		"more than 5 percent": {func(l *look) { l.resident *= 1.06 }, "grew by 6.0 %"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var m measurement
			late := early
			test.change(&late)
			m.compareLooks(early, late, 1000)
			if test.want == "" {
				assert.NoError(t, m.broken())
			} else {
				assert.ErrorContains(t, m.broken(), test.want)
			}
		})
	}
}

// The heap of a small host may come to its size.
func TestLittleGrowthOfASmallHost(t *testing.T) {
	var m measurement
	early := look{resident: 8 << 20}
	late := early
	late.resident += heapGrowth
	m.compareLooks(early, late, 1000)
	assert.NoError(t, m.broken())
	late.resident++
	m.compareLooks(early, late, 1000)
	assert.ErrorContains(t, m.broken(), "grew by")
}

func TestProcessesLeftAtDoneFailTheRun(t *testing.T) {
	var m measurement
	m.checkDone([]float64{0, 0, 0})
	assert.NoError(t, m.broken())
	m.checkDone([]float64{0, 2, 1})
	assert.ErrorContains(t, m.broken(), "in 2 of 3 kills processes of the sandbox, up to 2,")
}

func TestLitterIsNamedAndCounted(t *testing.T) {
	dir := t.TempDir()
	before, err := pathsBelow(filepath.Join(dir, "missing"))
	require.NoError(t, err)
	assert.Equal(t, "nothing", describe(added(before, before)))
	for _, name := range []string{"bench-1.state", "bench-2.state", "lock"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	after, err := pathsBelow(dir)
	require.NoError(t, err)
	assert.Equal(t, "2 × `bench-N.state`, 1 × `lock`", describe(added(before, after)))
	assert.Equal(t, "nothing", describe(added(after, after)))
}

func TestDescendantsAndTheirCost(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 60 & read line; kill $!")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer cmd.Wait()
	defer in.Close()

	require.Eventually(t, func() bool {
		pids, err := descendants(cmd.Process.Pid)
		return err == nil && len(pids) == 2 && pids[0] == cmd.Process.Pid
	}, limit, limit/1000)
	all, err := descendants(os.Getpid())
	require.NoError(t, err)
	assert.True(t, slices.Contains(all, cmd.Process.Pid))
	resident, proportional, err := memory([]int{os.Getpid()})
	require.NoError(t, err)
	assert.Greater(t, resident, 1e6)
	assert.LessOrEqual(t, proportional, resident)
	used, err := processorTime([]int{os.Getpid()})
	require.NoError(t, err)
	assert.GreaterOrEqual(t, used, 0.0)
}
