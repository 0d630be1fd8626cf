//go:build linux

package metrics

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const allFields = HasUptime<<1 - 1

// patterned makes a sample all of whose values follow from n.
func patterned(n uint64) Sample {
	return Sample{
		Present: allFields, CPUTime: time.Duration(n), CPUPermille: n * 3, MemoryUsedBytes: n * 5, MemoryPeakBytes: n * 7,
		OverlayUsedBytes: n * 11, DiskReadBytes: n * 13, DiskWrittenBytes: n * 17, NetworkReceivedBytes: n * 19,
		NetworkSentBytes: n * 23, Programs: n * 29, Uptime: time.Duration(n * 31),
	}
}

// whole reports whether a sample is one that patterned made.
func whole(s Sample) bool {
	want := patterned(uint64(s.CPUTime))
	want.Number, want.SampledAt, want.Monotonic = s.Number, s.SampledAt, s.Monotonic
	return s == want
}

func TestUnknownValuesAreZero(t *testing.T) {
	reg := open(t, t.TempDir(), 4)
	w, _ := activate(t, reg, "web")
	s := patterned(5)
	s.Present = HasPrograms | HasMemoryUsed
	require.NoError(t, w.Write(s))
	got, err := reg.ByName("web")
	require.NoError(t, err)
	assert.Equal(t, HasPrograms|HasMemoryUsed, got.Sample.Present)
	assert.Equal(t, uint64(5*29), got.Sample.Programs)
	assert.Equal(t, uint64(5*5), got.Sample.MemoryUsedBytes)
	assert.Zero(t, got.Sample.CPUTime)
	assert.Zero(t, got.Sample.NetworkSentBytes)
}

// A writer that does nothing else, not even look at the clock, beside four readers,
// two of the whole registry and two of the one slot: each sample read is whole, and
// every reader gets ahead.
func TestNoTornSamples(t *testing.T) {
	const readers = 4
	length := 2 * time.Second
	if os.Getenv("MSB_TEST_LONG") != "" {
		length = 10 * time.Second
	}
	dir := t.TempDir()
	reg := open(t, dir, 4)
	w, token := activate(t, reg, "busy")
	f, err := reg.file(false)
	require.NoError(t, err)
	require.NoError(t, w.Write(patterned(1)))
	var stop atomic.Bool
	var torn, without, missed atomic.Uint64
	var reads [readers]uint64
	var group sync.WaitGroup
	group.Go(func() {
		for n := uint64(2); !stop.Load(); n++ {
			s := patterned(n)
			s.Number = n
			if !assert.NoError(t, w.publish(s.encode(token.Generation))) {
				return
			}
			w.written = n
		}
	})
	for i := range readers {
		group.Go(func() {
			var last uint64
			for !stop.Load() {
				e, ok, err := readOne(reg, f, i < 2)
				switch {
				case !assert.NoError(t, err):
					return
				case !ok:
					missed.Add(1)
				case !e.HasSample:
					without.Add(1)
				default:
					s := e.Sample
					if !whole(s) || s.Number < last {
						torn.Add(1)
					}
					if s.Number > last {
						reads[i]++
					}
					last = s.Number
				}
			}
		})
	}
	time.AfterFunc(length, func() { stop.Store(true) })
	group.Wait()
	t.Logf("%d CPUs: %d samples written, new ones read %v, reads without a sample %d", runtime.NumCPU(), w.written, reads, without.Load())
	assert.Zero(t, torn.Load())
	assert.Zero(t, missed.Load())
	for _, n := range reads {
		assert.NotZero(t, n)
	}
	assert.Greater(t, w.written, uint64(1000))
}

func readOne(reg *Registry, f *file, all bool) (e Entry, ok bool, err error) {
	if !all {
		return f.readSlot(0, nil)
	}
	entries, err := reg.Snapshot()
	if err != nil || len(entries) != 1 {
		return e, false, err
	}
	return entries[0], true, nil
}

// The same against another process that writes.
func TestNoTornSamplesFromAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	reg := open(t, dir, 0)
	h := startHelper(t, order{Do: "write", Dir: dir, Token: reserve(t, reg, "other")})
	var last, fresh uint64
	for fresh < 300 {
		e, err := reg.ByName("other")
		require.NoError(t, err)
		if !e.HasSample {
			continue
		}
		require.True(t, whole(e.Sample), "%+v", e.Sample)
		require.GreaterOrEqual(t, e.Sample.Number, last)
		if e.Sample.Number > last {
			fresh++
		}
		last = e.Sample.Number
	}
	h.kill(t) // most likely in the middle of a sample
	e, err := reg.ByName("other")
	require.NoError(t, err)
	assert.Equal(t, Stale, e.State)
	assert.True(t, e.OwnerDead)
	require.True(t, e.HasSample)
	assert.True(t, whole(e.Sample))
}

// A mixture of two samples is what the checksum is for.
func TestMixedSampleIsRefused(t *testing.T) {
	reg := open(t, t.TempDir(), 1)
	w, token := activate(t, reg, "web")
	for n := uint64(1); n <= 3; n++ {
		require.NoError(t, w.Write(patterned(n)))
	}
	f, err := reg.file(false)
	require.NoError(t, err)
	e, ok, err := f.readSlot(0, nil)
	require.NoError(t, err)
	require.True(t, ok && e.HasSample && whole(e.Sample))
	other := patterned(1).encode(token.Generation)
	at := slotOffset(0) + offSamples + sampleSize // where odd samples lie
	require.NoError(t, f.writeWord(other[9], at+9*8))
	e, ok, err = f.readSlot(0, nil)
	require.NoError(t, err)
	assert.True(t, ok, "the slot itself is readable")
	assert.False(t, e.HasSample)
	assert.Equal(t, "web", e.Name)
}

// A writer stopped in the middle of a sample leaves the one before.
func TestUnfinishedSampleLeavesTheLast(t *testing.T) {
	reg := open(t, t.TempDir(), 1)
	w, _ := activate(t, reg, "web")
	require.NoError(t, w.Write(patterned(1)))
	require.NoError(t, w.Write(patterned(2)))
	w.word(offSequence).Store(little(5)) // number 3 is being written
	for i := range sampleWords / 2 {
		w.word(offSamples + sampleSize + 8*i).Store(^uint64(0))
	}
	e, err := reg.ByName("web")
	require.NoError(t, err)
	require.True(t, e.HasSample)
	assert.Equal(t, uint64(2), e.Sample.Number)
	assert.True(t, whole(e.Sample))
}
