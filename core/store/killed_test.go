//go:build linux

package store

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestKilledIsSeenBeforeTheProcessIsGone(t *testing.T) {
	cmd := exec.Command("sleep", "1000")
	require.NoError(t, cmd.Start())
	assert.False(t, killed(cmd.Process.Pid))
	require.NoError(t, cmd.Process.Signal(unix.SIGKILL))
	// Until it is waited for: pending, dying, or dead already.
	assert.True(t, killed(cmd.Process.Pid))
	cmd.Wait()
	assert.False(t, killed(cmd.Process.Pid), "nobody")
}
