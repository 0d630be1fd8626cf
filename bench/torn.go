package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/metrics"
	"github.com/libmicrosandbox/microsandbox/core/process"
)

const (
	tornReaders   = 4
	tornPerTwo    = time.Second // for two runs: 10 s in a full run
	tornFileSlots = 4
)

// metricsTorn has one writer at full speed and four readers of the same slot: no
// reader may see a mixture of two samples.
func (m *measurement) metricsTorn(ctx context.Context) ([]figure, error) {
	dir, err := os.MkdirTemp(filepath.Dir(m.roots.dir), "registry-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	registry, err := metrics.Open(dir, tornFileSlots)
	if err != nil {
		return nil, err
	}
	defer registry.Close()
	writer, err := onlyWriter(registry)
	if err != nil {
		return nil, err
	}
	defer writer.Release(false)
	length := max(tornPerTwo*time.Duration(m.runs)/2, time.Second)
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	started := time.Now()
	var written, read, torn atomic.Uint64
	failed := make(chan error, 1+tornReaders)
	var group sync.WaitGroup
	group.Go(func() { failed <- writeAtFullSpeed(ctx, writer, &written) })
	for range tornReaders {
		group.Go(func() { failed <- readWhole(ctx, registry, &read, &torn) })
	}
	group.Wait()
	for range 1 + tornReaders {
		if err := <-failed; err != nil {
			return nil, err
		}
	}
	if torn.Load() > 0 {
		m.fails("%d torn samples", torn.Load())
	}
	seconds := time.Since(started).Seconds()
	one := func(name, unit string, value float64) figure {
		return figure{name: name, unit: unit, ours: summarise([]float64{value})}
	}
	return []figure{
		one("metrics_written_beside_4", "samples/s", float64(written.Load())/seconds),
		one("metrics_read_by_4", "samples/s", float64(read.Load())/seconds),
		one("metrics_torn", fmt.Sprintf("samples in %.0f s", length.Seconds()), float64(torn.Load())),
	}, nil
}

// onlyWriter is the writer of the one slot in use.
func onlyWriter(registry *metrics.Registry) (*metrics.Writer, error) {
	me, err := process.Self()
	if err != nil {
		return nil, err
	}
	token, err := registry.Reserve("bench", "bench", metrics.Limits{}, me)
	if err != nil {
		return nil, err
	}
	return registry.Activate(token, me)
}

// tornSample is a sample all of whose values follow from n.
func tornSample(n uint64) metrics.Sample {
	return metrics.Sample{
		Present: metrics.HasCPUTime | metrics.HasMemoryUsed | metrics.HasMemoryPeak | metrics.HasNetworkSent | metrics.HasUptime,
		CPUTime: time.Duration(n), MemoryUsedBytes: n * 3, MemoryPeakBytes: n * 5, NetworkSentBytes: n * 7,
		Uptime: time.Duration(n * 11),
	}
}

func writeAtFullSpeed(ctx context.Context, writer *metrics.Writer, written *atomic.Uint64) error {
	for n := uint64(1); ctx.Err() == nil; n++ {
		if err := writer.Write(tornSample(n)); err != nil {
			return err
		}
		written.Store(n)
	}
	return nil
}

// readWhole counts the samples that it reads, and those that no writer wrote.
func readWhole(ctx context.Context, registry *metrics.Registry, read, torn *atomic.Uint64) error {
	for ctx.Err() == nil {
		entries, err := registry.Snapshot()
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.HasSample {
				continue
			}
			read.Add(1)
			want := tornSample(uint64(e.Sample.CPUTime))
			want.Number, want.SampledAt, want.Monotonic = e.Sample.Number, e.Sample.SampledAt, e.Sample.Monotonic
			if e.Sample != want {
				torn.Add(1)
			}
		}
	}
	return nil
}
