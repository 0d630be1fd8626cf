package main

import (
	"context"
	"fmt"
	"slices"
)

// Goals of what idle sandboxes cost.
const (
	goalMarginal = 0.75 // of stock with its gofer
	goalIdleCPU  = 1.0  // percent of one core, of 50
)

// density measures what one more idle sandbox costs in memory, and 50 in time.
func (m *measurement) density(ctx context.Context) ([]figure, error) {
	marginal, err := m.marginal(ctx)
	if err != nil {
		return nil, err
	}
	count := m.upTo(50)
	cost, err := m.idle(ctx, count, metricsDefault)
	if err != nil {
		return nil, err
	}
	percent := summarise([]float64{100 * cost.cpu / idlePeriod.Seconds()})
	cpu := figure{name: fmt.Sprintf("idle_cpu_%d", count), unit: "% of a core", ours: percent}.against(goalIdleCPU)
	return []figure{marginal, cpu}, nil
}

// upTo is a count of a full run, less in a short one.
func (m *measurement) upTo(count int) int { return max(2, min(count, count*m.runs/fullRun)) }

// marginal is the slope between two numbers of sandboxes in which a program
// sleeps. Of stock, `runsc run`, which only waits, does not count.
func (m *measurement) marginal(ctx context.Context) (figure, error) {
	few, many := m.upTo(5), 3*m.upTo(5)
	bundle := m.peer.standing + "-dir"
	if err := m.peer.bundle(ctx, bundle, "dir", m.roots, stayArgv...); err != nil {
		return figure{}, err
	}
	sides := []func() []string{
		func() []string { return m.place(metricsDefault, stayArgv...) },
		func() []string { return append([]string{"peer"}, m.peer.manyCommand(bundle)...) },
	}
	values := make([][]float64, len(sides))
	for range max(1, m.runs/10) {
		for s, place := range sides {
			var all [2]float64
			for i, count := range []int{few, many} {
				pss, err := m.proportional(ctx, count, place(), s == 1)
				if err != nil {
					return figure{}, err
				}
				all[i] = pss
			}
			values[s] = append(values[s], (all[1]-all[0])/float64(many-few)/bytesMegabyte)
		}
	}
	f := figure{name: "idle_pss_marginal", unit: "MB", peerName: "runsc run with gofer", goal: goalMarginal}
	f.ours, f.peer = compare(values[0], values[1], func(v float64) float64 { return v })
	return f, nil
}

// proportional returns the memory of count sandboxes once they are idle.
func (m *measurement) proportional(ctx context.Context, count int, place []string, withoutParents bool) (float64, error) {
	if _, err := m.raise("raise", count, place...); err != nil {
		return 0, err
	}
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	pids, err := descendants(m.host.cmd.Process.Pid)
	if err != nil {
		return 0, err
	}
	if len(pids) < 2+2*count {
		return 0, fmt.Errorf("%d processes below the host program instead of at least %d", len(pids)-2, 2*count)
	}
	host := pids[1]
	pids = slices.DeleteFunc(pids[2:], func(pid int) bool {
		fields, err := stat(pid)
		return err == nil && withoutParents && fields[1] == fmt.Sprint(host)
	})
	_, pss, err := memory(pids)
	if err != nil {
		return 0, err
	}
	_, err = m.host.ask("drop")
	return pss, err
}
