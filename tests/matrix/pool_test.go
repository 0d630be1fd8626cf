package matrix

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// adoptLimit is handle.adoptLimit.
const adoptLimit = 2 * time.Second

// pooling brings a new owner to a full pool.
func pooling(t *testing.T, size int) *owner {
	t.Helper()
	o := newOwner(t, options(t, uniqueName()))
	o.send("arm " + o.o.State.Dir)
	sandbox := o.o
	sandbox.Name = ""
	o.sendJSON("pool", core.PoolOptions{Sandbox: sandbox, Size: size})
	require.Zero(t, o.expect("pool", startTimeout+busy))
	return o
}

func (o *owner) take() { o.sendJSON("take", core.TakeOptions{Name: o.o.Name}) }

// below is everything that the owner has started.
func (o *owner) below() []store.Process {
	o.t.Helper()
	return harness.Tree(o.t, o.pid())[1:]
}

// serves requires that the taken sandbox works, and that nothing is left of it, its
// pool, and who was hit.
func (o *owner) serves(hit []store.Process) {
	o.t.Helper()
	require.Zero(o.t, o.expect("ready", startTimeout+adoptLimit+busy))
	runs("true")(o)
	require.Zero(o.t, o.expect("started", busy))
	assert.Equal(o.t, 1, o.expect("ended", busy))
	assert.Empty(o.t, alive(hit), "who was hit is gone")
	assert.Empty(o.t, leaks(o.t, o.o))
	tree := o.below()
	o.send("close")
	o.expect("done", grace+stopMargin+busy)
	o.send("unpool")
	require.Zero(o.t, o.expect("unpool", grace+stopMargin+busy))
	nothing(o.t, o.o, tree, time.Second)
}

// takeSteps are the places in the supervisor that is taken.
var takeSteps = []string{"adopt.begun", "adopt.named", "adopt.recorded"}

func eachTakeStep(t *testing.T, action string, test func(*testing.T, *owner, []store.Process)) {
	t.Parallel()
	for _, step := range takeSteps {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			o := pooling(t, 1)
			arm(t, o.o, step, action)
			tree := o.below()
			o.take()
			reached(t, o.o)
			test(t, o, tree)
		})
	}
}

// The take goes on with the next sandbox, under the same name.
func TestSupervisorKilledWhileItIsTaken(t *testing.T) {
	eachTakeStep(t, "kill", func(t *testing.T, o *owner, hit []store.Process) { o.serves(hit) })
}

func TestSupervisorStoppedWhileItIsTaken(t *testing.T) {
	eachTakeStep(t, "stop", func(t *testing.T, o *owner, hit []store.Process) { o.serves(hit) })
}

// Nobody is left to kill it but the next sweep.
func TestSupervisorStoppedWhileItIsTakenAndOwnerKilled(t *testing.T) {
	eachTakeStep(t, "stop", func(t *testing.T, o *owner, tree []store.Process) {
		stopped(t, tree[0].Pid)
		o.kill()
		swept(t, o.o, tree)
	})
}

func TestBothKilledWhileItIsTaken(t *testing.T) {
	eachTakeStep(t, "stop", func(t *testing.T, o *owner, tree []store.Process) {
		signal(t, o.pid(), unix.SIGSTOP)
		stopped(t, o.pid())
		signal(t, tree[0].Pid, unix.SIGKILL)
		harness.Gone(t, tree[:1], busy)
		o.kill()
		swept(t, o.o, tree)
	})
}

// What was taken and what waits go with their owner, wherever it is.
func TestOwnerKilledWhenItHasTaken(t *testing.T) {
	t.Parallel()
	o := pooling(t, 2)
	arm(t, o.o, "take.adopted", "kill")
	tree := o.below()
	o.take()
	reached(t, o.o)
	o.kill()
	nothing(t, o.o, tree, grace+busy)
	swept(t, o.o, tree)
}

func TestOwnerStoppedWhenItHasTaken(t *testing.T) {
	t.Parallel()
	o := pooling(t, 1)
	arm(t, o.o, "take.adopted", "stop")
	o.take()
	reached(t, o.o)
	stopped(t, o.pid())
	assert.Empty(t, leaks(t, o.o), "a stopped owner is not a dead one")
	signal(t, o.pid(), unix.SIGCONT)
	o.serves(nil)
}

func TestOwnerOfAPoolKilled(t *testing.T) {
	t.Parallel()
	for _, boots := range []bool{false, true} {
		t.Run(fmt.Sprintf("boots %v", boots), func(t *testing.T) {
			t.Parallel()
			o := pooling(t, 2)
			if boots {
				arm(t, o.o, "boot.claimed", "stop")
				o.take()
				reached(t, o.o)
			}
			tree := o.below()
			o.kill()
			if !boots {
				nothing(t, o.o, tree, grace+busy)
			}
			swept(t, o.o, tree)
		})
	}
}

// sentry finds the engine's process among those below the owner.
func sentry(t *testing.T, tree []store.Process) store.Process {
	t.Helper()
	for _, p := range tree {
		argv, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Pid))
		if strings.HasPrefix(string(argv), "runsc-sandbox\x00") {
			return p
		}
	}
	t.Fatal("no sentry")
	return store.Process{}
}

// It was hit while it waited, a moment before somebody takes it.
func TestMemberThatIsHitIsNotHandedOut(t *testing.T) {
	t.Parallel()
	for _, who := range []string{"supervisor", "sentry"} {
		for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGSTOP} {
			t.Run(fmt.Sprintf("%s, %v", who, sig), func(t *testing.T) {
				t.Parallel()
				o := pooling(t, 1)
				tree := o.below()
				victim := tree[0]
				if who == "sentry" {
					victim = sentry(t, tree)
				}
				signal(t, victim.Pid, sig)
				if sig == unix.SIGSTOP {
					stopped(t, victim.Pid)
				}
				o.take()
				o.serves(tree)
			})
		}
	}
}
