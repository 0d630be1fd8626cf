//go:build linux

package handle_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// stop stops a process and returns once each of its threads has noticed.
func stop(t *testing.T, pid int) {
	t.Helper()
	require.NoError(t, unix.Kill(pid, unix.SIGSTOP))
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	require.Eventually(t, func() bool {
		entries, err := os.ReadDir(tasks)
		require.NoError(t, err)
		for _, e := range entries {
			stat, err := os.ReadFile(tasks + "/" + e.Name() + "/stat")
			if err != nil || !strings.Contains(string(stat), ") T ") {
				return false
			}
		}
		return true
	}, harness.Limit, time.Millisecond)
}

// TestKillByName: of a detached sandbox whose supervisor is stopped, which neither a
// sweep nor a handle can reach, as of one that answers.
func TestKillByName(t *testing.T) {
	for name, stopped := range map[string]bool{"answers": false, "stopped": true} {
		for _, stored := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				harness.NoLeaks(t)
				o := harness.Options(t)
				o.Name, o.Detached, o.Stored = "bg", true, stored
				sb, err := core.Create(o)
				require.NoError(t, err)
				harness.Wait(t, sb.Ready(), "the sandbox")
				require.NoError(t, sb.StartErr())
				tree := harness.Tree(t, int(sb.Pid()))
				sb.Close()
				if stopped {
					stop(t, tree[0].Pid)
					ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
					defer cancel()
					_, err := core.Open(ctx, "bg", o.State)
					require.ErrorIs(t, err, code(fault.TimedOut))
					require.ErrorContains(t, err, fmt.Sprintf("process %d, does not answer", tree[0].Pid))
				}
				_, err = core.Audit(o.State) // which sweeps
				require.NoError(t, err)
				require.Len(t, harness.Alive(tree), len(tree), "a sweep leaves it alone")

				begin := time.Now()
				require.NoError(t, core.Kill("bg", o.State))
				assert.Less(t, time.Since(begin), 5*time.Second)
				assert.Empty(t, harness.Alive(tree))
				assert.Empty(t, harness.Entries(t, o.State.Dir))
				findings, err := core.Audit(o.State)
				require.NoError(t, err)
				assert.ErrorIs(t, core.Kill("bg", o.State), code(fault.NotFound))
				if !stored {
					assert.Empty(t, findings)
					return
				}
				list, err := core.List(o.State, core.ListOptions{Stopped: true})
				require.NoError(t, err)
				require.Len(t, list, 1)
				assert.Equal(t, handle.StateStopped, list[0].State)
				assert.Equal(t, handle.CauseKilled, list[0].LastCause, "it was killed on request, it has not crashed")
				require.NoError(t, core.Remove("bg", o.State))
			})
		}
	}
}

// TestKillByNameOfAnOwnedSandbox: its owner learns of it.
func TestKillByNameOfAnOwnedSandbox(t *testing.T) {
	o := harness.Options(t)
	o.Name = "owned"
	sb := harness.Create(t, o)
	assert.ErrorIs(t, core.Kill("another", o.State), code(fault.NotFound))
	assert.ErrorIs(t, core.Kill("a/b", o.State), code(fault.Invalid))
	assert.ErrorIs(t, core.Kill("owned", core.State{Dir: t.TempDir() + "/none"}), code(fault.NotFound))
	require.NoError(t, syscall.Kill(int(sb.Pid()), 0), "it lives")
	require.NoError(t, core.Kill("owned", o.State))
	harness.Wait(t, sb.Done(), "the kill")
	assert.Equal(t, handle.CauseKilled, sb.Outcome().Cause)
}
