package handle_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// A create that is given up leaves nothing, whenever that happens. The delay
// grows until some starts succeed, so that every step is hit.
func TestCreateGivenUpAtEveryMoment(t *testing.T) {
	for name, give := range map[string]func(*core.Sandbox){
		"close": func(sb *core.Sandbox) { sb.Close() },
		"kill":  func(sb *core.Sandbox) { sb.Kill(); sb.Close() },
		"stop":  func(sb *core.Sandbox) { sb.Stop(0); sb.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			harness.NoLeaks(t)
			o := harness.Options(t)
			o.Name = "given up"
			step := 4 * time.Millisecond
			if harness.Long() {
				step = 400 * time.Microsecond
			}
			failed, worked := 0, 0
			for delay := time.Duration(0); worked < 3; delay += step {
				require.Less(t, delay, 2*time.Second, "no start succeeds")
				sb, err := core.Create(o)
				require.NoError(t, err)
				tree := spin(t, sb, delay)
				give(sb)
				harness.Wait(t, sb.Done(), "the end")
				if sb.StartErr() != nil {
					failed++
					assert.Contains(t, []uint32{handle.CauseStartFailed, handle.CauseKilled}, sb.Outcome().Cause)
				} else {
					worked++
				}
				assert.Empty(t, harness.Alive(tree), "after %v", delay)
				assert.Empty(t, harness.Entries(t, o.State.Dir), "after %v", delay)
			}
			assert.Greater(t, failed, 3)
		})
	}
}

// spin passes the time and returns the processes seen last.
func spin(t *testing.T, sb *core.Sandbox, delay time.Duration) []store.Process {
	for end := time.Now().Add(delay); time.Now().Before(end); {
		runtime.Gosched()
	}
	if pid := sb.Pid(); pid != 0 {
		return harness.Tree(t, int(pid))
	}
	return nil
}
