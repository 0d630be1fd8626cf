package main

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHandlesFitInAJavaScriptNumber(t *testing.T) {
	assert.Less(t, pack(1<<kindBits-1, maxGeneration, maxSlots-1), uint64(1)<<53)
	assert.NotZero(t, pack(kindSandbox, 0, 0))
}

func TestGetReturnsWhatWasAdded(t *testing.T) {
	tab := newTable[string]()
	h := tab.add(kindSandbox, "a")
	value, ok := tab.get(h)
	require.True(t, ok)
	assert.Equal(t, "a", value)
	assert.Equal(t, kindSandbox, kindOf(h))
}

func TestEveryOtherHandleIsRefused(t *testing.T) {
	tab := newTable[string]()
	h := tab.add(kindSandbox, "a")
	for name, forged := range map[string]uint64{
		"zero":             0,
		"other kind":       pack(kindProcess, 1, 0),
		"other generation": pack(kindSandbox, 2, 0),
		"other slot":       pack(kindSandbox, 1, 1),
		"unused chunk":     pack(kindSandbox, 1, maxSlots-1),
		"a bit above":      h | 1<<53,
		"all bits":         ^uint64(0),
	} {
		_, ok := tab.get(forged)
		assert.False(t, ok, name)
		_, ok = tab.remove(forged)
		assert.False(t, ok, name)
	}
	_, ok := tab.get(h)
	assert.True(t, ok, "the real handle survives the forged ones")
}

func TestSecondRemoveFails(t *testing.T) {
	tab := newTable[int]()
	h := tab.add(kindProcess, 7)
	value, ok := tab.remove(h)
	require.True(t, ok)
	assert.Equal(t, 7, value)
	_, ok = tab.remove(h)
	assert.False(t, ok)
	_, ok = tab.get(h)
	assert.False(t, ok)
}

func TestReusedSlotRefusesOldHandle(t *testing.T) {
	tab := newTable[int]()
	old := tab.add(kindSandbox, 1)
	tab.remove(old)
	fresh := tab.add(kindSandbox, 2)
	require.Equal(t, uint32(old)&(maxSlots-1), uint32(fresh)&(maxSlots-1), "the slot is used again")
	_, ok := tab.get(old)
	assert.False(t, ok)
}

func TestSlotRetiresBeforeItsGenerationWraps(t *testing.T) {
	tab := newTable[int]()
	tab.last = 3
	seen := map[uint64]bool{}
	for range 10 {
		h := tab.add(kindSandbox, 0)
		require.False(t, seen[h], "handle %#x was given out twice", h)
		seen[h] = true
		_, ok := tab.remove(h)
		require.True(t, ok)
	}
	assert.EqualValues(t, 4, tab.used, "ten handles need four slots of three generations")
}

func TestFullTableGivesZero(t *testing.T) {
	tab := newTable[int]()
	tab.used = maxSlots
	assert.Zero(t, tab.add(kindSandbox, 0))
}

func TestManyThreadsRemoveOnce(t *testing.T) {
	tab := newTable[int]()
	const rounds, threads = 2000, 8
	var removed atomic.Int64
	for range rounds {
		h := tab.add(kindSandbox, 1)
		var group sync.WaitGroup
		for range threads {
			group.Go(func() {
				if _, ok := tab.remove(h); ok {
					removed.Add(1)
				}
				if _, ok := tab.get(h); ok {
					removed.Add(1000000)
				}
			})
		}
		group.Wait()
	}
	assert.EqualValues(t, rounds, removed.Load())
	assert.Zero(t, tab.live)
}

// Each thread adds, finds and removes its own values and probes random
// handles; a value seen under a handle must be the one added under it.
func TestConcurrentUse(t *testing.T) {
	tab := newTable[uint64]()
	var group sync.WaitGroup
	for seed := range uint64(8) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			own := map[uint64]uint64{}
			for range 20000 {
				switch random.IntN(4) {
				case 0:
					value := random.Uint64()
					own[tab.add(kindProcess, value)] = value
				case 1:
					for h, want := range own {
						value, ok := tab.remove(h)
						if !ok || value != want {
							t.Errorf("remove %#x: got %d %v, want %d", h, value, ok, want)
						}
						delete(own, h)
						break
					}
				case 2:
					for h, want := range own {
						if value, ok := tab.get(h); !ok || value != want {
							t.Errorf("get %#x: got %d %v, want %d", h, value, ok, want)
						}
						break
					}
				case 3:
					tab.get(random.Uint64())
				}
			}
			for h := range own {
				tab.remove(h)
			}
		})
	}
	group.Wait()
	assert.Zero(t, tab.live)
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 2, 0}, uint64(0))
	f.Add([]byte{0, 1, 1, 1, 0, 2}, ^uint64(0))
	f.Fuzz(func(t *testing.T, steps []byte, forged uint64) {
		tab := newTable[int]()
		tab.last = 4
		var all []uint64
		alive := map[uint64]int{}
		for i, step := range steps {
			switch {
			case step%3 == 0 || len(all) == 0:
				h := tab.add(kind(step%31+1), i)
				if _, twice := alive[h]; h == 0 || twice {
					t.Fatalf("add gave %#x", h)
				}
				all = append(all, h)
				alive[h] = i
			case step%3 == 1:
				h := all[int(step)%len(all)]
				want, live := alive[h]
				if value, ok := tab.remove(h); ok != live || ok && value != want {
					t.Fatalf("remove %#x: %d %v", h, value, ok)
				}
				delete(alive, h)
			default:
				h := all[int(step)%len(all)]
				want, live := alive[h]
				if value, ok := tab.get(h); ok != live || ok && value != want {
					t.Fatalf("get %#x: %d %v", h, value, ok)
				}
			}
		}
		if _, live := alive[forged]; !live {
			if _, ok := tab.get(forged); ok {
				t.Fatalf("forged %#x was accepted", forged)
			}
		}
		if tab.live != len(alive) {
			t.Fatalf("live is %d, want %d", tab.live, len(alive))
		}
	})
}

func BenchmarkGet(b *testing.B) {
	tab := newTable[int]()
	h := tab.add(kindSandbox, 1)
	for b.Loop() {
		tab.get(h)
	}
}
