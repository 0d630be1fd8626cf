package main

import (
	"sync"
	"sync/atomic"
)

// A handle is kind:5 | generation:24 | slot:24, so it stays below 2^53 and a
// JavaScript Number holds it exactly. Kinds start at 1: no handle is 0.
const (
	slotBits       = 24
	generationBits = 24
	kindBits       = 5

	maxSlots      = 1 << slotBits
	maxGeneration = 1<<generationBits - 1

	chunkBits = 10
	chunkSize = 1 << chunkBits
	maxChunks = maxSlots / chunkSize
)

// kind tells what a handle stands for.
type kind uint8

const (
	kindSandbox kind = 1
	kindProcess kind = 2
	kindPool    kind = 3
)

func pack(k kind, generation, slot uint32) uint64 {
	return uint64(k)<<(slotBits+generationBits) | uint64(generation)<<slotBits | uint64(slot)
}

// table maps handles to values. get takes no lock: a value lies in the slot
// together with its whole handle, so one pointer load tells both whether the
// handle is the live one and what it stands for. A slot counts its generations
// and retires when they are used up, so a handle is never given out twice.
type table[T any] struct {
	chunks [maxChunks]atomic.Pointer[chunk[T]]

	mu   sync.Mutex // guards what follows and every slot's generation
	used uint32     // slots ever given out
	free []uint32   // last in, first out
	live int
	last uint32 // the generation after which a slot retires; tests lower it
}

type chunk[T any] [chunkSize]slot[T]

type slot[T any] struct {
	entry      atomic.Pointer[entry[T]]
	generation uint32
}

type entry[T any] struct {
	handle uint64
	value  T
}

func newTable[T any]() *table[T] { return &table[T]{last: maxGeneration} }

// add gives value a handle, or 0 when every slot is in use or retired.
func (t *table[T]) add(k kind, value T) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	index, ok := t.take()
	if !ok {
		return 0
	}
	s := t.slot(index)
	s.generation++
	h := pack(k, s.generation, index)
	s.entry.Store(&entry[T]{handle: h, value: value})
	t.live++
	return h
}

// take returns the index of an unused slot. The caller holds mu.
func (t *table[T]) take() (uint32, bool) {
	if n := len(t.free); n > 0 {
		index := t.free[n-1]
		t.free = t.free[:n-1]
		return index, true
	}
	if t.used == maxSlots {
		return 0, false
	}
	index := t.used
	if c := &t.chunks[index>>chunkBits]; c.Load() == nil {
		c.Store(new(chunk[T]))
	}
	t.used++
	return index, true
}

// slot returns the slot with this index, or nil when there was never one.
func (t *table[T]) slot(index uint32) *slot[T] {
	c := t.chunks[index>>chunkBits].Load()
	if c == nil {
		return nil
	}
	return &c[index&(chunkSize-1)]
}

// find returns the live entry of a handle and its slot, or nil.
func (t *table[T]) find(h uint64) (*slot[T], *entry[T]) {
	s := t.slot(uint32(h) & (maxSlots - 1))
	if s == nil {
		return nil, nil
	}
	e := s.entry.Load()
	if e == nil || e.handle != h {
		return nil, nil
	}
	return s, e
}

// get returns what a handle stands for.
func (t *table[T]) get(h uint64) (value T, ok bool) {
	_, e := t.find(h)
	if e == nil {
		return value, false
	}
	return e.value, true
}

// remove makes a handle invalid and returns what it stood for. Of many callers
// with the same handle exactly one gets ok.
func (t *table[T]) remove(h uint64) (value T, ok bool) {
	s, e := t.find(h)
	if e == nil || !s.entry.CompareAndSwap(e, nil) {
		return value, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live--
	if s.generation < t.last {
		t.free = append(t.free, uint32(h)&(maxSlots-1))
	}
	return e.value, true
}

// kindOf tells what a handle claims to be, live or not.
func kindOf(h uint64) kind { return kind(h >> (slotBits + generationBits) & (1<<kindBits - 1)) }
