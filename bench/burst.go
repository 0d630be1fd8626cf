package main

import (
	"context"
	"fmt"
	"strconv"
)

const (
	burstCount   = 50 // sandboxes in a full run
	runsPerBurst = 4  // 5 bursts of each kind and side in a full run
	burstThreads = 8
)

// burst measures many sandboxes at once from one process.
func (m *measurement) burst(context.Context) ([]figure, error) {
	count := m.upTo(burstCount)
	var figures []figure
	for _, kind := range []struct {
		name, command, bundle string
		argv                  []string
		goal                  float64
	}{
		{"burst_lives", "lives", m.peer.bundles["erofs"], []string{"/bin/echo", "hi"}, goalBurst},
		{"burst_stay", "raise", m.peer.standing, stayArgv, goalBurst},
	} {
		times := func(place ...string) side {
			return func() ([]float64, error) {
				return m.many(kind.command, count, place...)
			}
		}
		peer := func() ([]float64, error) {
			return times(append([]string{"peer"}, m.peer.manyCommand(kind.bundle)...)...)()
		}
		answers, err := inTurns(0, max(1, m.runs/runsPerBurst),
			times(m.place(metricsDefault, kind.argv...)...), peer)
		if err != nil {
			return nil, err
		}
		f := figure{name: fmt.Sprintf("%s_%d", kind.name, count), unit: "ms each", peerName: fmt.Sprintf("%d runsc run", count),
			goal: kind.goal}
		f.ours, f.peer = compare(answers[0][0], answers[1][0], func(ns float64) float64 { return milliseconds(ns) / float64(count) })
		figures = append(figures, f)
	}
	return figures, nil
}

// place is where the host program's sandboxes live, for many.
func (m *measurement) place(metricsMS int, argv ...string) []string {
	return append([]string{"library", strconv.Itoa(metricsMS), "erofs", m.roots.erofs}, argv...)
}

// many has count sandboxes made from several threads, and ends those that stay;
// each must succeed.
func (m *measurement) many(command string, count int, place ...string) ([]float64, error) {
	numbers, err := m.raise(command, count, place...)
	if err != nil || command != "raise" {
		return numbers, err
	}
	_, err = m.host.ask("drop")
	return numbers, err
}

func (m *measurement) raise(command string, count int, place ...string) ([]float64, error) {
	words := append([]string{command, strconv.Itoa(count), strconv.Itoa(burstThreads)}, place...)
	numbers, err := m.host.ask(words...)
	if err == nil && numbers[1] > 0 {
		m.fails("%s: %.0f of %d failed in %s", place[0], numbers[1], count, command)
	}
	return numbers, err
}
