package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTreesOfAFullRunAndOfAShortOne(t *testing.T) {
	full := treeFigures(20)
	assert.Equal(t, full, treeFigures(5))
	assert.Equal(t, "bind_read_tree", full[0].name)
	assert.Equal(t, 400, full[0].files())
	assert.Equal(t, int64(500e6), full[0].bytes())
	assert.Equal(t, "bind_read_small", full[1].name)
	assert.Equal(t, 20_000, full[1].files())

	short := treeFigures(3)
	assert.Equal(t, "bind_read_tree_75", short[0].name)
	assert.Equal(t, int64(75e6), short[0].bytes())
	assert.Equal(t, "bind_read_small_3000", short[1].name)
	assert.Equal(t, 3_000, short[1].files())
}

func TestReaderSeesTheWholeTree(t *testing.T) {
	guest, root := guestProgram(t), t.TempDir()
	made := tree{directories: 2, filesEach: 3, fileBytes: 200_000}
	require.NoError(t, made.make(context.Background(), root))
	read := func() string {
		cmd := exec.Command(guest, "read", root)
		cmd.Stdin = strings.NewReader("\n")
		out, err := cmd.Output()
		require.NoError(t, err)
		return string(out)
	}
	assert.Equal(t, fmt.Sprintf("ready\n%d %d\n", made.files(), made.bytes()), read())

	require.NoError(t, os.Truncate(filepath.Join(root, "1", "2"), 199_999))
	assert.Equal(t, "ready\n6 1199999\n", read())
	require.NoError(t, os.RemoveAll(filepath.Join(root, "0")))
	assert.Equal(t, "ready\n3 599999\n", read())

	missing := exec.Command(guest, "read", filepath.Join(root, "missing"))
	missing.Stdin = strings.NewReader("\n")
	out, err := missing.CombinedOutput()
	require.ErrorContains(t, err, "exit status 1")
	assert.Contains(t, string(out), "No such file")
	assert.ErrorContains(t, exec.Command(guest, "read", root).Run(), "exit status 1", "without a line")
}

func TestOtherCountsThanTheTreesFailTheRun(t *testing.T) {
	read := tree{directories: 2, filesEach: 3, fileBytes: 10}
	assert.NoError(t, read.check([]float64{1, 6, 60}))
	assert.ErrorContains(t, read.check([]float64{1, 6, 59}), "read 59 bytes in 6 files instead of 60 in 6")
	assert.ErrorContains(t, read.check([]float64{1, 7, 60}), "read 60 bytes in 7 files instead of 60 in 6")
	assert.ErrorContains(t, read.check([]float64{0, 6, 60}), "instead of a time, files and bytes")
	assert.ErrorContains(t, read.check([]float64{1}), "instead of a time, files and bytes")
}
