//go:build linux

package engine_test

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

func TestAwaitExit(t *testing.T) {
	for script, want := range map[string]string{
		"exit 0": "exited with code 0", "exit 255": "exited with code 255",
		"kill -9 $$": "killed by signal 9", "ulimit -c 0; kill -ABRT $$": "killed by signal 6",
	} {
		cmd := exec.Command("sh", "-c", script)
		require.NoError(t, cmd.Start())
		status, err := engine.AwaitExit(cmd.Process.Pid)
		require.NoError(t, err)
		assert.Equal(t, want, engine.ExitText(status), script)
		cmd.Wait()
		assert.Equal(t, cmd.ProcessState.Sys(), status, "the zombie was left, and says the same")
		_, err = engine.AwaitExit(cmd.Process.Pid)
		assert.Error(t, err, "nobody's child any more")
	}
}
