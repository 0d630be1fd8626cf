//go:build linux

package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestDeadSupervisorIsStale(t *testing.T) {
	dir := t.TempDir()
	reg := open(t, dir, 2)
	token := reserve(t, reg, "web")
	h := startHelper(t, order{Do: "activate", Dir: dir, Token: token})
	e, err := reg.ByName("web")
	require.NoError(t, err)
	require.Equal(t, Active, e.State)
	require.Equal(t, h.cmd.Process.Pid, e.Supervisor.Pid)
	require.True(t, whole(e.Sample))
	_, err = reg.Free(token)
	requireCode(t, err, fault.State, "still runs")
	freed, err := reg.Sweep()
	require.NoError(t, err)
	require.Zero(t, freed)

	h.kill(t) // and does not reap it
	e, err = reg.ByName("web")
	require.NoError(t, err)
	assert.Equal(t, Stale, e.State)
	assert.True(t, e.OwnerDead)
	assert.True(t, e.HasSample)
	active, err := reg.Active()
	require.NoError(t, err)
	assert.Empty(t, active)
	freed2, err := reg.Free(token)
	require.NoError(t, err)
	assert.True(t, freed2)
}

// A process id that was given out again is not the owner.
func TestReusedPidIsDead(t *testing.T) {
	reg := open(t, t.TempDir(), 2)
	token := reserve(t, reg, "web")
	later := self(t)
	later.Start--
	w, err := reg.Activate(token, later)
	require.NoError(t, err)
	defer w.Release(false)
	e, err := reg.ByName("web")
	require.NoError(t, err)
	assert.Equal(t, Stale, e.State)
}

func TestSweepFreesSlotsOfTheDead(t *testing.T) {
	dir := t.TempDir()
	reg := open(t, dir, 0)
	dead := ended(t)
	_, err := reg.Reserve("reserved", "id-1", Limits{}, dead)
	require.NoError(t, err)
	token, err := reg.Reserve("active", "id-2", Limits{}, dead)
	require.NoError(t, err)
	w, err := reg.Activate(token, dead)
	require.NoError(t, err)
	_, err = reg.Reserve("starting", "id-3", Limits{}, self(t))
	require.NoError(t, err)
	kept, _ := activate(t, reg, "stale")
	require.NoError(t, kept.Release(true))
	_, _ = activate(t, reg, "running")

	freed, err := reg.Sweep()
	require.NoError(t, err)
	assert.Equal(t, 2, freed)
	slots, err := reg.Slots()
	require.NoError(t, err)
	assert.Equal(t, []string{"starting", "stale", "running"}, names(slots))
	requireCode(t, w.Write(patterned(1)), fault.Gone, "no longer")
	freed, err = reg.Sweep()
	require.NoError(t, err)
	assert.Zero(t, freed)
	require.NoError(t, os.Remove(filepath.Join(dir, fileName)))
	freed, err = reg.Sweep()
	require.NoError(t, err)
	assert.Zero(t, freed)
}

// The order in which a full registry gives up slots: stale, reserved, active.
func TestReclaimOrder(t *testing.T) {
	dead := ended(t)
	reg := open(t, t.TempDir(), 4)
	token, err := reg.Reserve("dead supervisor", "id-1", Limits{}, dead)
	require.NoError(t, err)
	_, err = reg.Activate(token, dead)
	require.NoError(t, err)
	_, err = reg.Reserve("dead launcher", "id-2", Limits{}, dead)
	require.NoError(t, err)
	w, _ := activate(t, reg, "ended")
	require.NoError(t, w.Release(true))
	reserve(t, reg, "starting")
	for i, want := range []string{"ended", "dead launcher", "dead supervisor"} {
		before, err := reg.Slots()
		require.NoError(t, err)
		next := reserve(t, reg, fmt.Sprint("next-", i))
		for _, e := range before {
			if e.Slot == next.Slot {
				assert.Equal(t, want, e.Name)
			}
		}
	}
	_, err = reg.Reserve("one more", "id", Limits{}, self(t))
	requireCode(t, err, fault.Limit, "all 4 slots")
}

func TestReservationsOfTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	h := startHelper(t, order{Do: "reserve", Dir: dir, Name: "theirs"})
	var theirs Token
	require.NoError(t, json.Unmarshal(h.answer, &theirs))
	reg := open(t, dir, 0)
	ours := reserve(t, reg, "ours")
	assert.NotEqual(t, theirs.Slot, ours.Slot)
	assert.Equal(t, theirs.Instance, ours.Instance)
	slots, err := reg.Slots()
	require.NoError(t, err)
	require.Equal(t, []string{"theirs", "ours"}, names(slots))
	assert.False(t, slots[0].OwnerDead)
	h.kill(t)
	slots, err = reg.Slots()
	require.NoError(t, err)
	assert.True(t, slots[0].OwnerDead)
	assert.False(t, slots[1].OwnerDead)
	freed, err := reg.Sweep()
	require.NoError(t, err)
	assert.Equal(t, 1, freed)
}

// A change waits for the lock, a reader does not; the lock of the dead is free.
func TestLockOfADeadHolder(t *testing.T) {
	dir := t.TempDir()
	reg := open(t, dir, 0)
	f, err := openFile(registryPath(dir))
	require.NoError(t, err)
	require.NoError(t, f.lock())
	me, result := self(t), make(chan error, 1)
	go func() {
		_, err := reg.Reserve("web", "id", Limits{}, me)
		result <- err
	}()
	select {
	case err := <-result:
		t.Fatal("reserved under somebody's lock", err)
	default:
	}
	_, err = reg.Snapshot()
	require.NoError(t, err, "readers take no lock")
	require.NoError(t, f.Close()) // what the kernel does at the end of a process
	require.NoError(t, <-result)
}

// A registry that was replaced is opened again by whoever finds its file closed.
func TestLockOfAClosedFile(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, 0)
	f, err := openFile(registryPath(dir))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	assert.ErrorIs(t, f.lock(), os.ErrClosed)
}
