package matrix

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// reuse starts a process that has the pid of one that has ended.
func reuse(t *testing.T, pid int) *exec.Cmd {
	t.Helper()
	for range 200 {
		err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0)
		if errors.Is(err, os.ErrPermission) {
			t.Skip("needs CAP_CHECKPOINT_RESTORE, to choose the pid of a process")
		}
		require.NoError(t, err)
		cmd := exec.Command("sleep", "600")
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		if cmd.Process.Pid == pid {
			return cmd
		}
		cmd.Process.Kill()
	}
	t.Fatalf("pid %d cannot be had again", pid)
	return nil
}

// Not parallel: it makes pids go round.
func TestW01AReusedPidIsNotKilled(t *testing.T) {
	o := options(t, uniqueName())
	sb := harness.Create(t, o)
	other := byName(t, o)
	pid := int(sb.Pid())
	require.NoError(t, sb.Kill())
	harness.Wait(t, sb.Done(), "the end")
	harness.Wait(t, other.Done(), "the end")
	stranger := reuse(t, pid)
	for _, h := range []*core.Sandbox{sb, other} {
		assert.Equal(t, int32(pid), h.Pid(), "as given at start")
		assert.ErrorIs(t, h.Kill(), &fault.Error{Code: fault.Done})
		assert.ErrorIs(t, h.Stop(0), &fault.Error{Code: fault.Done})
	}
	assert.NotContains(t, []string{"Z", "X", ""}, stateOf(stranger.Process.Pid), "it lives")
}

// The records on disk name start times: a sweep hits no stranger either.
func TestW01AStrangerInARecordIsNotKilled(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.create()
	tree := o.tree()
	o.send("disarm")
	require.Zero(t, o.expect("disarm", busy))
	stranger := exec.Command("sleep", "600")
	require.NoError(t, stranger.Start())
	defer stranger.Wait()
	defer stranger.Process.Kill()

	records, err := filepath.Glob(o.o.State.Dir + "/sandboxes/*/record.json")
	require.NoError(t, err)
	require.Len(t, records, 1)
	text := fmt.Sprintf(`{"version":1,"name":%q,"boot_id":%q,"supervisor":{"pid":%d,"start_ticks":1},"owner":{"pid":1,"start_ticks":1},`+
		`"children":[{"pid":%[3]d,"start_ticks":1}]}`, o.o.Name, store.BootID(), stranger.Process.Pid)
	require.NoError(t, os.WriteFile(records[0], []byte(text), 0o600))
	signal(t, tree[0].Pid, unix.SIGKILL)
	harness.Gone(t, tree, busy)
	swept(t, o.o, tree)
	assert.NotContains(t, []string{"Z", "X", ""}, stateOf(stranger.Process.Pid), "the sweep left it alone")
}

func TestW02KillByAnotherLeavesTheOwnerItsStatus(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.create()
	other := byName(t, o.o)
	require.NoError(t, other.Kill())
	assert.Equal(t, int(handle.CauseKilled), o.expect("done", busy))
	harness.Wait(t, other.Done(), "the end")
	assert.Equal(t, handle.CauseKilled, other.Outcome().Cause)
	nothing(t, o.o, nil, time.Second)
}

func TestW02KillAndWaitFromManyThreadsAgree(t *testing.T) {
	t.Parallel()
	o := options(t, uniqueName())
	sb := harness.Create(t, o)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := sb.Kill(); err != nil {
				assert.ErrorIs(t, err, &fault.Error{Code: fault.Done})
			}
			<-sb.Done()
			assert.Equal(t, handle.CauseKilled, sb.Outcome().Cause)
		})
	}
	wg.Wait()
	nothing(t, o, nil, time.Second)
}

// A wait, an info and a drain are under way: detach and kill wait for none.
func TestW08NoVerbWaitsForAnother(t *testing.T) {
	t.Parallel()
	o := options(t, uniqueName())
	sb := harness.Create(t, o)
	p := harness.Shell(t, sb, "echo up; cat").Running()
	p.Line("up\n")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { <-sb.Done() })
		wg.Go(func() { <-p.Done() })
	}
	require.NoError(t, sb.Drain(-1)) // ends with the program, that is not
	begin := time.Now()
	require.NoError(t, sb.Disarm(t.Context()))
	require.NoError(t, sb.Kill())
	wg.Wait()
	assert.Less(t, time.Since(begin), busy)
	nothing(t, o, nil, time.Second)
}

// Nobody asks, and the clean-up runs all the same.
func TestW13TheCleanUpWaitsForNobodyToAsk(t *testing.T) {
	t.Parallel()
	o := newOwner(t, options(t, uniqueName()))
	o.create()
	tree := o.tree()
	signal(t, tree[0].Pid, unix.SIGKILL)
	nothing(t, o.o, tree, busy)
	findings, err := core.Audit(o.o.State)
	require.NoError(t, err)
	assert.Empty(t, findings, "the metrics slot is free, too")
}
