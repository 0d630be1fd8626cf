//go:build linux

package metrics

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// churn takes and gives back slots until stop. A sandbox's name says what its
// samples look like.
func churn(reg *Registry, me Process, worker uint64, stop func() bool) error {
	for i := uint64(0); !stop(); i++ {
		n := worker<<32 + i + 1
		token, err := reg.Reserve(fmt.Sprint("box-", n), fmt.Sprint("id-", n), Limits{MemoryBytes: n}, me)
		if errors.Is(err, &fault.Error{Code: fault.Limit}) {
			continue
		}
		if err != nil {
			return err
		}
		if i%5 == 0 {
			if done, err := reg.ReleaseReserved(token); err != nil || !done {
				return fmt.Errorf("release %v: %v %w", token, done, err)
			}
			continue
		}
		w, err := reg.Activate(token, me)
		if err != nil {
			return err
		}
		for range i % 4 {
			if err := w.Write(patterned(n)); err != nil {
				return err
			}
		}
		if err := w.Release(i%2 == 0); err != nil {
			return err
		}
	}
	return nil
}

// coherent reports whether an entry's parts belong to one sandbox.
func coherent(e Entry) bool {
	n, err := strconv.ParseUint(strings.TrimPrefix(e.Name, "box-"), 10, 64)
	return err == nil && e.ID == fmt.Sprint("id-", n) && e.Limits.MemoryBytes == n &&
		(!e.HasSample || whole(e.Sample) && uint64(e.Sample.CPUTime) == n)
}

// Slots change hands all the time, and no reader sees a mixture of two sandboxes.
func TestChurnShowsNoMixture(t *testing.T) {
	dir := t.TempDir()
	me := self(t)
	var stop atomic.Bool
	var seen, mixed atomic.Uint64
	var group sync.WaitGroup
	for worker := range uint64(6) {
		reg := open(t, dir, 4) // fewer slots than workers
		group.Go(func() { assert.NoError(t, churn(reg, me, worker, stop.Load)) })
	}
	reader := open(t, dir, 0)
	for range 2 {
		group.Go(func() {
			for !stop.Load() {
				entries, err := reader.Slots()
				if !assert.NoError(t, err) {
					return
				}
				for _, e := range entries {
					seen.Add(1)
					if !coherent(e) {
						mixed.Add(1)
					}
				}
			}
		})
	}
	time.AfterFunc(time.Second, func() { stop.Store(true) })
	group.Wait()
	t.Logf("%d slots seen", seen.Load())
	assert.NotZero(t, seen.Load())
	assert.Zero(t, mixed.Load())
}

// Processes killed at any point of all this leave a registry that works, and after
// one sweep no slot of theirs.
func TestKilledOwnersLeaveNoSlot(t *testing.T) {
	dir := t.TempDir()
	reg := open(t, dir, 8)
	for range 12 {
		h := startHelper(t, order{Do: "churn", Dir: dir})
		f, err := reg.file(false)
		require.NoError(t, err)
		for before := generation(t, f); generation(t, f) < before+20; {
		}
		h.kill(t)
		entries, err := reg.Slots()
		require.NoError(t, err)
		for _, e := range entries {
			require.True(t, coherent(e), "%+v", e)
			require.NotEqual(t, Active, e.State)
		}
		_, err = reg.Sweep()
		require.NoError(t, err)
		entries, err = reg.Slots()
		require.NoError(t, err)
		for _, e := range entries { // last words that were kept on purpose
			require.Equal(t, Stale, e.State)
			require.False(t, e.OwnerDead)
		}
	}
	for i := range 8 {
		reserve(t, reg, fmt.Sprint("box-", i))
	}
	entries, err := reg.Slots()
	require.NoError(t, err)
	require.Len(t, entries, 8)
}

func generation(t *testing.T, f *file) uint64 {
	t.Helper()
	var buf [8]byte
	require.NoError(t, f.read(buf[:], offGeneration))
	return le.Uint64(buf[:])
}

// What changed since it was copied is read again.
func TestOldCopyIsReadAgain(t *testing.T) {
	reg := open(t, t.TempDir(), 1)
	w, token := activate(t, reg, "old")
	f, err := reg.file(false)
	require.NoError(t, err)
	var old [slotSize]byte
	require.NoError(t, f.read(old[:], slotOffset(token.Slot)))
	e, ok, err := f.readSlot(token.Slot, old[:])
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "old", e.Name)
	require.NoError(t, w.Release(true))
	e, _, err = f.readSlot(token.Slot, old[:])
	require.NoError(t, err)
	assert.Equal(t, Stale, e.State)
	activate(t, reg, "new")
	e, _, err = f.readSlot(token.Slot, old[:])
	require.NoError(t, err)
	assert.Equal(t, "new", e.Name)
}
