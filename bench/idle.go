package main

import (
	"context"
	"fmt"
	"time"
)

// What metrics_interval_ms takes.
const (
	metricsDefault = 0
	metricsOff     = -1
)

// Sandboxes for each of the runs: 100 and 50 in a full run.
const (
	listedPerRun = 5
	idlePerTwo   = 5 // for two runs
)

const (
	readsPerRun   = 10               // 200 in a full run
	secondsPerTwo = 3 * time.Second  // for two runs: 30 s in a full run
	idlePeriod    = 30 * time.Second // to which processor time is scaled
	settle        = 6 * time.Second  // after the last start: a sentry trims its memory after 5 s
	firstSamples  = 10 * time.Second
	bytesMegabyte = 1e6
)

// metrics measures what reading them costs, and what having them does.
func (m *measurement) metrics(ctx context.Context) ([]figure, error) {
	var figures []figure
	for _, part := range []func(context.Context) ([]figure, error){m.metricsRead, m.metricsTorn, m.metricsIdle} {
		more, err := part(ctx)
		if err != nil {
			return nil, err
		}
		figures = append(figures, more...)
	}
	return figures, nil
}

// metricsRead lists the metrics of many sandboxes that run.
func (m *measurement) metricsRead(ctx context.Context) ([]figure, error) {
	count := listedPerRun * m.runs
	if _, err := m.raise("raise", count, m.place(metricsDefault)...); err != nil {
		return nil, err
	}
	if err := m.waitForSamples(ctx, count); err != nil {
		return nil, err
	}
	var values []float64
	for range warmUps + readsPerRun*m.runs {
		n, err := m.host.ask("metrics")
		if err != nil {
			return nil, err
		}
		if n[1] != float64(count) {
			m.fails("a list of %.0f metrics instead of %d", n[1], count)
		}
		values = append(values, n[0]/1e3)
	}
	if _, err := m.host.ask("drop"); err != nil {
		return nil, err
	}
	return []figure{{name: fmt.Sprintf("metrics_read_%d", count), unit: "µs", ours: summarise(values[warmUps:])}}, ctx.Err()
}

// waitForSamples waits until each sandbox is in the list: it comes there with its
// first sample.
func (m *measurement) waitForSamples(ctx context.Context, count int) error {
	for started := time.Now(); ; {
		n, err := m.host.ask("metrics")
		if err != nil || n[1] == float64(count) {
			return err
		}
		if time.Since(started) > firstSamples {
			return fmt.Errorf("metrics of %.0f sandboxes instead of %d after %v", n[1], count, firstSamples)
		}
		if err := pause(ctx, firstSamples/100); err != nil {
			return err
		}
	}
}

// metricsIdle compares idle sandboxes with metrics to the same without.
func (m *measurement) metricsIdle(ctx context.Context) ([]figure, error) {
	count := max(1, idlePerTwo*m.runs/2)
	with, err := m.idle(ctx, count, metricsDefault)
	if err != nil {
		return nil, err
	}
	without, err := m.idle(ctx, count, metricsOff)
	if err != nil {
		return nil, err
	}
	one := func(v float64) summary { return summarise([]float64{v}) }
	var figures []figure
	for _, f := range []struct {
		name, unit    string
		with, without float64
	}{
		{"idle_metrics", "cpu s in 30 s", with.cpu, without.cpu},
		{"idle_resident", "MB in all", with.resident / bytesMegabyte, without.resident / bytesMegabyte},
		{"idle_proportional", "MB in all", with.proportional / bytesMegabyte, without.proportional / bytesMegabyte},
	} {
		peer := one(f.without)
		figures = append(figures, figure{name: fmt.Sprintf("%s_%d", f.name, count), unit: f.unit, ours: one(f.with),
			peer: &peer, peerName: "metrics off"})
	}
	m.note("%d idle sandboxes are %d processes with metrics and %d without.", count, with.processes, without.processes)
	return figures, nil
}

// idleness is what idle sandboxes cost together.
type idleness struct {
	processes              int
	cpu                    float64 // seconds in idlePeriod
	resident, proportional float64 // bytes
}

func (m *measurement) idle(ctx context.Context, count, metricsMS int) (cost idleness, err error) {
	if _, err := m.raise("raise", count, m.place(metricsMS)...); err != nil {
		return cost, err
	}
	if err := pause(ctx, settle); err != nil {
		return cost, err
	}
	// The first two are keep and the host program.
	pids, err := descendants(m.host.cmd.Process.Pid)
	if err != nil {
		return cost, err
	}
	if len(pids) < 2+count {
		return cost, fmt.Errorf("%d processes below the host program instead of at least %d", len(pids)-2, count)
	}
	pids = pids[2:]
	started := time.Now()
	before, err := processorTime(pids)
	if err != nil {
		return cost, err
	}
	if err := pause(ctx, max(secondsPerTwo*time.Duration(m.runs)/2, time.Second)); err != nil {
		return cost, err
	}
	after, err := processorTime(pids)
	if err != nil {
		return cost, err
	}
	cost.processes = len(pids)
	cost.cpu = (after - before) * idlePeriod.Seconds() / time.Since(started).Seconds()
	if cost.resident, cost.proportional, err = memory(pids); err != nil {
		return cost, err
	}
	_, err = m.host.ask("drop")
	return cost, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
