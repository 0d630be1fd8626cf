package qemu

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestConsoleIsBoundedAndPrintable(t *testing.T) {
	var c tail
	for range 100 {
		c.Write([]byte(strings.Repeat("x", 1000) + "\n"))
	}
	c.Write([]byte(strings.Repeat("y", 3*consoleKept)))
	assert.Len(t, c.text(), consoleKept)
	c.Write([]byte("\nlast \x1b[31mwords\x00\xff\r\n\n"))
	assert.Equal(t, "last [31mwords?", c.lastLine())
}

func TestPanics(t *testing.T) {
	var c tail
	assert.Empty(t, c.panicked())
	c.Write([]byte("[    1.0] Kernel panic - not syncing: Out of memory: compulsory panic_on_oom is enabled\n[    1.1] CPU: 0\n"))
	assert.True(t, c.outOfMemory())
	var d tail
	d.Write([]byte("Kernel panic - not syncing: Attempted to kill init!\n"))
	assert.Equal(t, "Attempted to kill init!", d.panicked())
	assert.False(t, d.outOfMemory())
}

func TestProblemSkipsWarnings(t *testing.T) {
	var c tail
	c.Write([]byte("qemu: warning: host doesn't support it\nqemu: error: failed to set MSR\nqemu: Assertion failed\n"))
	assert.Equal(t, "qemu: error: failed to set MSR", c.problem())
}

func TestTSCRate(t *testing.T) {
	if rate := tscKHz(); assert.Greater(t, rate, uint64(200_000)) {
		assert.Less(t, rate, uint64(20_000_000))
	}
}
