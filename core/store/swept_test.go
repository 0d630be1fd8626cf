//go:build linux

package store

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSweepsAreNoted(t *testing.T) {
	root := newRoot(t)
	start := time.Now()
	assert.False(t, root.SweptSince(start), "nobody has")
	root.NoteSweep(start.Add(-time.Nanosecond))
	assert.False(t, root.SweptSince(start), "one that had begun before")
	root.NoteSweep(start)
	assert.True(t, root.SweptSince(start))
	root.NoteSweep(start.Add(-time.Hour))
	assert.True(t, root.SweptSince(start), "a slow one takes nothing back")
	assert.False(t, root.SweptSince(time.Now()))

	root.NoteSweep(time.Now().Add(time.Hour))
	assert.False(t, root.SweptSince(start), "the clock was set back")
	for _, text := range []string{"", "x", "00000000000000000000\n", "-1\n"} {
		require.NoError(t, os.WriteFile(root.sweptPath(), []byte(text), 0o600))
		assert.False(t, root.SweptSince(start), text)
	}
	root.NoteSweep(start)
	assert.True(t, root.SweptSince(start), "garbage is written over")
}
