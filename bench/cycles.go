package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// cyclesPerRun makes 1,000 in a full run.
const cyclesPerRun = 50

// heapGrowth is what may come and go in a heap of which little is in use, in bytes: a run
// that shows no more growth than that does not fail. The figure shows it.
const heapGrowth = 1 << 20

// settledCycles is how many come before the first look.
const settledCycles = 10

// limitResident is how much resident memory may grow in all cycles after those.
const limitResident = 1.05

// still is how long a look must show the same.
const still = 500 * time.Millisecond

// look is what the host program has, and the number that must not grow.
type look struct {
	threads, descriptors, children, files, resident float64
	handleSlot                                      float64
}

func (m *measurement) look(handleSlot float64) (look, error) {
	n, err := m.host.ask("look")
	if err != nil {
		return look{}, err
	}
	return look{threads: n[0], descriptors: n[1], children: n[2], files: n[3], resident: n[4], handleSlot: handleSlot}, nil
}

// settledLook looks until nothing but memory has changed for a while: a thread or
// a descriptor may be about to go when the event has come that nothing is left.
func (m *measurement) settledLook(handleSlot float64) (look, error) {
	seen, err := m.look(handleSlot)
	for limit, since := time.Now().Add(10*still), time.Now(); err == nil && time.Since(since) < still && time.Now().Before(limit); {
		time.Sleep(still / 10)
		last := seen
		seen, err = m.look(handleSlot)
		last.resident = seen.resident
		if seen != last {
			since = time.Now()
		}
	}
	return seen, err
}

// cycles creates and closes sandboxes one after another in a new host program.
func (m *measurement) cycles(ctx context.Context) ([]figure, error) {
	fresh := *m
	var err error
	fresh.stateDir += "-cycles"
	if fresh.host, err = startHost(ctx, m.settings, fresh.stateDir); err != nil {
		return nil, err
	}
	defer fresh.host.stop()

	count := cyclesPerRun * m.runs
	var early, late look
	var times []float64
	for i := range count {
		n, err := fresh.host.ask("cycle", "erofs", m.roots.erofs)
		if err != nil {
			return nil, fmt.Errorf("cycle %d: %w", i+1, err)
		}
		times = append(times, milliseconds(n[0]))
		if i+1 == settledCycles {
			early, err = fresh.settledLook(n[1])
		} else if i+1 == count {
			late, err = fresh.settledLook(n[1])
		}
		if err != nil {
			return nil, err
		}
	}
	figures := []figure{{name: "cycle_create_to_closed", unit: "ms", ours: summarise(times)}}
	return append(figures, m.compareLooks(early, late, count)...), nil
}

// spareThreads is how many threads the Go runtime may add after the first cycles:
// it starts one when all it has are blocked in system calls, and keeps it.
const spareThreads = 2

func (m *measurement) compareLooks(early, late look, count int) []figure {
	settled := fmt.Sprintf("after %d cycles", settledCycles)
	beside := func(name, unit string, late, early, goal float64) figure {
		return figure{name: name, unit: unit, ours: summarise([]float64{late}), peer: &summary{median: early},
			peerName: settled, goal: goal}
	}
	var figures []figure
	for _, pair := range []struct {
		name        string
		late, early float64
	}{
		{"threads", late.threads, early.threads},
		{"descriptors", late.descriptors, early.descriptors},
		{"handle slot", late.handleSlot, early.handleSlot},
		{"children", late.children, early.children},
		{"files in the state directory", late.files, early.files},
	} {
		if pair.name == "threads" && pair.late <= pair.early+spareThreads {
			// A plateau.
		} else if pair.late != pair.early {
			m.fails("%d cycles: %s: %.0f instead of %.0f %s", count, pair.name, pair.late, pair.early, settled)
		}
		name := "cycles_" + strings.ReplaceAll(strings.TrimSuffix(pair.name, " in the state directory"), " ", "_")
		figures = append(figures, beside(name, "count", pair.late, pair.early, 0))
	}
	if late.resident > max(limitResident*early.resident, early.resident+heapGrowth) {
		m.fails("%d cycles: resident memory grew by %.1f %%, at most %.0f %% are allowed",
			count, 100*(late.resident/early.resident-1), 100*(limitResident-1))
	}
	return append(figures, beside("cycles_resident", "bytes", late.resident, early.resident, limitResident))
}
