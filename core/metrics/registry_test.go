//go:build linux

package metrics

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestRoundTrip(t *testing.T) {
	dir := t.TempDir()
	reg := open(t, dir, 8)
	token := reserve(t, reg, "web")

	text, err := json.Marshal(token)
	require.NoError(t, err)
	var handed Token
	require.NoError(t, json.Unmarshal(text, &handed))
	require.Equal(t, token, handed)

	slots, err := reg.Slots()
	require.NoError(t, err)
	require.Len(t, slots, 1)
	assert.Equal(t, Reserved, slots[0].State)
	assert.False(t, slots[0].OwnerDead)
	assert.Equal(t, self(t), slots[0].Launcher)
	seen, err := reg.Snapshot()
	require.NoError(t, err)
	assert.Empty(t, seen, "a reservation is nobody's metrics")
	_, err = reg.ByName("web")
	requireCode(t, err, fault.NotFound, `"web"`)

	w, err := reg.Activate(handed, self(t))
	require.NoError(t, err)
	e, err := reg.ByName("web")
	require.NoError(t, err)
	assert.Equal(t, Active, e.State)
	assert.False(t, e.HasSample)
	assert.False(t, e.Started.IsZero())

	require.NoError(t, w.Write(patterned(1)))
	require.NoError(t, w.Write(patterned(2)))
	e, err = reg.ByID("id-web")
	require.NoError(t, err)
	require.True(t, e.HasSample)
	assert.True(t, whole(e.Sample))
	assert.Equal(t, uint64(2), e.Sample.Number)
	assert.False(t, e.Sample.SampledAt.Before(e.Started))
	assert.Positive(t, e.Sample.Monotonic)
	assert.Equal(t, Limits{MemoryBytes: 1 << 30, OverlayBytes: 1 << 20}, e.Limits)
	assert.Equal(t, "id-web", e.ID)
	assert.Equal(t, self(t), e.Supervisor)

	require.NoError(t, w.Release(true))
	require.NoError(t, w.Release(true), "idempotent")
	requireCode(t, w.Write(patterned(3)), fault.Closed, "released")
	e, err = reg.ByName("web")
	require.NoError(t, err)
	assert.Equal(t, Stale, e.State)
	assert.False(t, e.OwnerDead)
	assert.True(t, e.HasSample)
	active, err := reg.Active()
	require.NoError(t, err)
	assert.Empty(t, active)

	freed, err := reg.Free(token)
	require.NoError(t, err)
	assert.True(t, freed)
	_, err = reg.ByName("web")
	requireCode(t, err, fault.NotFound, "web")
}

func TestReleaseToFree(t *testing.T) {
	reg := open(t, t.TempDir(), 1)
	w, token := activate(t, reg, "web")
	require.NoError(t, w.Release(false))
	slots, err := reg.Slots()
	require.NoError(t, err)
	assert.Empty(t, slots)
	freed, err := reg.Free(token)
	require.NoError(t, err)
	assert.False(t, freed, "it was free already")
}

func TestConcurrentReservationsAreDistinct(t *testing.T) {
	const n = 48
	dir := t.TempDir() // the registry is made by all of them at once
	tokens := make([]Token, n)
	me := self(t)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			reg, err := Open(dir, 64)
			if !assert.NoError(t, err) {
				return
			}
			defer reg.Close()
			tokens[i], err = reg.Reserve(fmt.Sprint("box-", i), fmt.Sprint("id-", i), Limits{}, me)
			assert.NoError(t, err)
		})
	}
	group.Wait()
	slots, generations := map[uint32]bool{}, map[uint64]bool{}
	for _, token := range tokens {
		slots[token.Slot], generations[token.Generation] = true, true
		assert.Equal(t, tokens[0].Instance, token.Instance)
	}
	assert.Len(t, slots, n)
	assert.Len(t, generations, n)
	seen, err := open(t, dir, 0).Slots()
	require.NoError(t, err)
	assert.Len(t, seen, n)
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Len(t, left, 1, "only the registry is left")
}

func TestReservedIsReleasedOnce(t *testing.T) {
	dir := t.TempDir()
	reg := open(t, dir, 1)
	token := reserve(t, reg, "first")
	require.NoError(t, reg.Close())
	reg, err := OpenExisting(dir) // the handle reopens it by its name
	require.NoError(t, err)
	defer reg.Close()

	released, err := reg.ReleaseReserved(token)
	require.NoError(t, err)
	assert.True(t, released)
	other := open(t, dir, 0)
	next := reserve(t, other, "second")
	require.Equal(t, token.Slot, next.Slot)
	for range 2 { // must not free what is somebody else's by now
		released, err = reg.ReleaseReserved(token)
		require.NoError(t, err)
		assert.False(t, released)
		freed, err := reg.Free(token)
		require.NoError(t, err)
		assert.False(t, freed)
	}
	w, err := other.Activate(next, self(t))
	require.NoError(t, err)
	defer w.Release(false)
	released, err = reg.ReleaseReserved(next)
	require.NoError(t, err)
	assert.False(t, released, "it became active")
	_, err = reg.Free(next)
	requireCode(t, err, fault.State, "still runs")
	require.NoError(t, w.Write(patterned(1)))
}

func TestConcurrentReleasesFreeOnce(t *testing.T) {
	reg := open(t, t.TempDir(), 2)
	token := reserve(t, reg, "web")
	var released [8]bool
	var group sync.WaitGroup
	for i := range released {
		group.Go(func() {
			var err error
			released[i], err = reg.ReleaseReserved(token)
			assert.NoError(t, err)
		})
	}
	group.Wait()
	count := 0
	for _, r := range released {
		if r {
			count++
		}
	}
	assert.Equal(t, 1, count)
}

func TestStaleGenerationCannotWrite(t *testing.T) {
	for _, samples := range []uint64{0, 1, 2} { // with none, the sequence is that of a new owner
		t.Run(fmt.Sprint("after ", samples), func(t *testing.T) { staleGeneration(t, samples) })
	}
}

func staleGeneration(t *testing.T, samples uint64) {
	reg := open(t, t.TempDir(), 1)
	w, token := activate(t, reg, "old")
	for n := range samples {
		require.NoError(t, w.Write(patterned(n)))
	}
	f, err := reg.file(false)
	require.NoError(t, err)
	require.NoError(t, f.change(func(f *file) error { // as a process does that takes the owner for dead
		_, err := f.free(token.Slot)
		return err
	}))
	next := reserve(t, reg, "new")
	if samples == 0 { // nor while the new owner is about to write
		early, err := reg.Activate(next, self(t))
		require.NoError(t, err)
		defer early.Release(false)
		requireCode(t, w.Write(patterned(2)), fault.Gone, "no longer")
		require.NoError(t, early.Write(patterned(4)))
		return
	}
	requireCode(t, w.Write(patterned(2)), fault.Gone, "no longer")
	_, err = reg.Activate(token, self(t))
	requireCode(t, err, fault.Gone, "no longer")
	w2, err := reg.Activate(next, self(t))
	require.NoError(t, err)
	defer w2.Release(false)
	requireCode(t, w.Write(patterned(3)), fault.Gone, "no longer") // for good
	e, err := reg.ByName("new")
	require.NoError(t, err)
	assert.False(t, e.HasSample)
	require.NoError(t, w2.Write(patterned(4)))
	require.NoError(t, w.Release(true), "not its slot any more")
	e, err = reg.ByName("new")
	require.NoError(t, err)
	assert.Equal(t, Active, e.State)
	assert.Equal(t, uint64(1), e.Sample.Number)

	twice, err := reg.Activate(next, self(t))
	assert.Nil(t, twice)
	requireCode(t, err, fault.Gone, "no longer")
}

func TestTokenOfAnotherFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	reg := open(t, dir, 2)
	token := reserve(t, reg, "first")
	w, _ := activate(t, reg, "running")
	require.NoError(t, os.Remove(filepath.Join(dir, fileName)))
	_, err := reg.Snapshot()
	requireCode(t, err, fault.NotFound, fileName)
	released, err := reg.ReleaseReserved(token)
	require.NoError(t, err)
	assert.False(t, released)
	next := reserve(t, reg, "second") // makes a new registry at the same name
	require.Equal(t, token.Slot, next.Slot)
	require.Equal(t, token.Generation, next.Generation)
	released, err = reg.ReleaseReserved(token)
	require.NoError(t, err)
	assert.False(t, released)
	_, err = reg.Activate(token, self(t))
	requireCode(t, err, fault.Gone, "no longer")
	require.NoError(t, w.Write(patterned(1)), "to the old file")
	require.NoError(t, w.Release(true))
}

func TestFull(t *testing.T) {
	dir := t.TempDir()
	reg := open(t, dir, 3)
	reserve(t, reg, "a")
	w, _ := activate(t, reg, "b")
	w2, _ := activate(t, reg, "c")
	_, err := reg.Reserve("d", "id", Limits{}, self(t))
	requireCode(t, err, fault.Limit, "all 3 slots")
	require.NoError(t, w2.Release(true))
	require.NoError(t, w.Release(true))
	reserve(t, reg, "d") // takes the stale slot of the older reservation
	entries, err := reg.Snapshot()
	require.NoError(t, err)
	assert.Equal(t, []string{"c"}, names(entries))
	assert.Equal(t, 3, open(t, dir, 99).Capacity(), "an existing registry keeps its capacity")
}

func TestNames(t *testing.T) {
	reg := open(t, t.TempDir(), 4)
	long := strings.Repeat("é", 64)
	reserve(t, reg, "plain")
	for _, name := range []string{strings.Repeat("x", 129), "", "a\x00b"} {
		_, err := reg.Reserve(name, "id", Limits{}, self(t))
		requireCode(t, err, fault.Invalid, "1 to 128")
	}
	_, err := reg.Reserve("x", strings.Repeat("x", 65), Limits{}, self(t))
	requireCode(t, err, fault.Invalid, "1 to 64")
	_, err = reg.Reserve("x", "id", Limits{}, Process{})
	requireCode(t, err, fault.Invalid, "launcher")
	token, err := reg.Reserve(long, strings.Repeat("i", 64), Limits{}, self(t))
	require.NoError(t, err)
	w, err := reg.Activate(token, self(t))
	require.NoError(t, err)
	defer w.Release(false)
	e, err := reg.ByName(long)
	require.NoError(t, err)
	assert.Equal(t, long, e.Name)
	assert.Equal(t, strings.Repeat("i", 64), e.ID)
	_, err = reg.Activate(Token{Slot: 99, Generation: 1, Instance: token.Instance}, self(t))
	requireCode(t, err, fault.Gone, "no longer")
	_, err = reg.Activate(token, Process{})
	requireCode(t, err, fault.Invalid, "supervisor")
}

func TestByNamePrefersTheRunning(t *testing.T) {
	reg := open(t, t.TempDir(), 4)
	old, _ := activate(t, reg, "web")
	running, _ := activate(t, reg, "web")
	newer, _ := activate(t, reg, "web")
	for i, w := range []*Writer{old, running, newer} {
		require.NoError(t, w.Write(patterned(uint64(i))))
	}
	require.NoError(t, old.Release(true))
	require.NoError(t, newer.Release(true))
	e, err := reg.ByName("web")
	require.NoError(t, err)
	assert.Equal(t, running.token.Slot, e.Slot)
	require.NoError(t, running.Release(true))
	e, err = reg.ByName("web")
	require.NoError(t, err)
	assert.Equal(t, newer.token.Slot, e.Slot, "of the ended ones the last")
}

func TestClosed(t *testing.T) {
	reg := open(t, t.TempDir(), 4)
	w, token := activate(t, reg, "web")
	require.NoError(t, reg.Close())
	require.NoError(t, reg.Close())
	_, err := reg.Snapshot()
	requireCode(t, err, fault.Closed, "closed")
	_, err = reg.Free(token)
	requireCode(t, err, fault.Closed, "closed")
	require.NoError(t, w.Write(patterned(1)), "a writer does not need it")
}
