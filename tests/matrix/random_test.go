package matrix

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

const (
	randomWorkers = 4
	randomLimit   = 4 * time.Minute
	lifetime      = 400 * time.Millisecond // of a sandbox that is not killed before
)

// Owners, supervisors, both, or parts of the engine die at any moment of a life
// that makes a sandbox, runs programs in it, and ends it.
func TestKillsAtRandomMoments(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("MSB_TEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	kills := harness.Repeat(60, 1000)
	deadline := time.Now().Add(randomLimit)
	var next, done atomic.Int64
	t.Cleanup(func() { t.Logf("%d of %d kills, seed %d", done.Load(), kills, seed) })
	t.Parallel()
	for range randomWorkers {
		t.Run("worker", func(t *testing.T) {
			t.Parallel()
			for !t.Failed() {
				n := next.Add(1)
				if n > int64(kills) || time.Now().After(deadline) {
					return
				}
				killOnce(t, rand.New(rand.NewPCG(seed, uint64(n))), fmt.Sprintf("kill %d, seed %d", n, seed))
				done.Add(1)
			}
		})
	}
}

func killOnce(t *testing.T, random *rand.Rand, which string) {
	o := newOwner(t, core.Options{
		Name: uniqueName(), MsbPath: built(t, "msb-failpoint"), State: core.State{Dir: t.TempDir() + "/state"},
		Root: harness.DirRoot(t), StopGrace: grace, StartTimeout: startTimeout,
		Detached: random.IntN(8) == 0, Stored: random.IntN(4) == 0,
	})
	creates(o)
	end := time.Now().Add(time.Duration(random.Int64N(int64(lifetime))))
	verb := []string{"close", "drain", "stop", "disarm"}[random.IntN(4)]
	live(o, verb, end)
	tree := o.tree()
	victim := random.IntN(4)
	switch {
	case victim == 0 || len(tree) == 0:
		o.kill()
	case victim == 1:
		unix.Kill(tree[0].Pid, unix.SIGKILL)
	case victim == 2:
		unix.Kill(tree[0].Pid, unix.SIGKILL)
		o.kill()
	default:
		unix.Kill(tree[random.IntN(len(tree))].Pid, unix.SIGKILL)
	}
	o.send("close")
	o.in.Close() // a living owner exits
	o.kill()
	finish(t, o, append(tree, o.tree()...), which)
	require.NoError(t, os.RemoveAll(o.o.State.Dir))
}

// live runs programs until half the time is over, then ends the sandbox.
func live(o *owner, verb string, end time.Time) {
	half := time.Until(end) / 2
	timer := time.NewTimer(half)
	defer timer.Stop()
	for asked := false; ; {
		select {
		case line, ok := <-o.lines:
			if !ok {
				return
			}
			if line == "ready 0" || line == "ended 1" {
				runs("true")(o)
			}
		case <-timer.C:
			if asked {
				return
			}
			asked = true
			o.send(verb)
			timer.Reset(half)
		}
	}
}

// finish gives an attached sandbox its time, ends a detached one as a stranger
// would, and looks for what is left.
func finish(t *testing.T, o *owner, tree []store.Process, which string) {
	t.Helper()
	deadline := time.Now().Add(startTimeout + busy)
	for time.Now().Before(deadline) {
		findings, err := core.Audit(o.o.State)
		require.NoError(t, err, which)
		if len(orphans(findings)) == 0 && len(remains(o.o, tree)) == 0 {
			return
		}
		if sb, err := core.Open(t.Context(), o.o.Name, o.o.State); err == nil {
			if info, err := sb.Info(t.Context()); err == nil && info.Flags&core.FlagAttached == 0 {
				sb.Kill()
				<-sb.Done()
			}
			sb.Close()
		}
	}
	require.Empty(t, remains(o.o, tree), which)
}
