package main

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type closed struct{ running }

func (closed) Close() {}

func released() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapReleased
}

func TestMemoryGoesBackToTheHostAfterTheLastClose(t *testing.T) {
	const size = 32 << 20
	use := func() {
		room := make([]byte, size)
		for i := 0; i < len(room); i += 4096 {
			room[i] = 1
		}
	}
	use()
	runtime.GC() // free, but not given back
	before := released()

	h, _, err := register(kindPool, closed{})
	require.NoError(t, err)
	require.NoError(t, closeHandle(h))
	require.Eventually(t, func() bool { return released() >= before+size/2 }, 10*time.Second, trimDelay/10)
}
