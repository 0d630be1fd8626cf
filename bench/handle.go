package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Measurements for each one of the others.
const (
	killsPerRun  = 10 // 200 in a full run
	cyclesPerRun = 50 // 1,000 in a full run
)

// settledCycles is how many come before the first look.
const settledCycles = 10

// limitResident is how much resident memory may grow in all cycles after those.
const limitResident = 1.05

// handle measures the ends of sandboxes and of their owners.
func (m *measurement) handle(ctx context.Context) ([]figure, error) {
	killer, err := startKiller(ctx, m.settings)
	if err != nil {
		return nil, err
	}
	defer killer.stop()
	kills, err := m.kills(killer)
	if err != nil {
		return nil, err
	}
	cycles, err := m.cycles(ctx)
	return append(kills, cycles...), err
}

// kills measures the four kinds of death in turns, hence under the same load.
func (m *measurement) kills(killer *host) ([]figure, error) {
	bwrap, err := m.bwrapCommand()
	if err != nil {
		return nil, err
	}
	runs := killsPerRun * m.runs
	place := append([]string{"erofs", m.roots.erofs}, stayArgv...)
	owner := append([]string{m.product("bench", "host"), m.stateDir, m.product("bin", "msb"), "own"}, place...)
	end := func(argv []string) ([]float64, error) { return killer.ask(append([]string{"end"}, argv...)...) }

	before, err := m.litter()
	if err != nil {
		return nil, err
	}
	answers, err := inTurns(warmUps, runs,
		func() ([]float64, error) { return m.host.ask(append([]string{"kill"}, place...)...) },
		func() ([]float64, error) { return end(owner) },
		func() ([]float64, error) { return end(m.peer.stayCommand()) },
		func() ([]float64, error) { return end(bwrap) },
	)
	if err != nil {
		return nil, err
	}
	m.checkDone(answers[0][3])
	if err := m.lookForLitter(before, warmUps+runs); err != nil {
		return nil, err
	}

	var figures []figure
	for _, ours := range []struct {
		name   string
		values []float64
	}{
		{"kill_to_wait", answers[0][0]}, {"kill_to_done", answers[0][1]}, {"kill_to_nothing", answers[0][2]},
		{"owner_kill_to_nothing", answers[1][0]},
	} {
		for side, peer := range []struct{ suffix, name string }{
			{"", "kill -9 of runsc run"}, {"_bwrap", "kill -9 of bwrap"},
		} {
			f := figure{name: ours.name + peer.suffix, unit: "ms", peerName: peer.name}
			f.ours, f.peer = compare(ours.values, answers[2+side][0], milliseconds)
			figures = append(figures, f)
		}
	}
	return figures, nil
}

// checkDone takes the numbers of processes that were left when the library said
// that nothing is.
func (m *measurement) checkDone(left []float64) {
	runs := 0
	for _, n := range left {
		if n > 0 {
			runs++
		}
	}
	if runs > 0 {
		m.fails("in %d of %d kills processes of the sandbox, up to %.0f, were left at MSB_EVENT_DONE",
			runs, len(left), summarise(left).max)
	}
}

func (m *measurement) bwrapCommand() ([]string, error) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return nil, fmt.Errorf("%w: install the package bubblewrap", err)
	}
	return append([]string{
		bwrap, "--die-with-parent", "--unshare-all", "--ro-bind", m.roots.dir, "/", "--proc", "/proc", "--dev", "/dev",
	}, stayArgv...), nil
}

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
			early, err = fresh.look(n[1])
		} else if i+1 == count {
			late, err = fresh.look(n[1])
		}
		if err != nil {
			return nil, err
		}
	}
	figures := []figure{{name: "cycle_create_to_closed", unit: "ms", ours: summarise(times)}}
	return append(figures, m.compareLooks(early, late, count)...), nil
}

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
		if pair.late != pair.early {
			m.fails("%d cycles: %s: %.0f instead of %.0f %s", count, pair.name, pair.late, pair.early, settled)
		}
		name := "cycles_" + strings.ReplaceAll(strings.TrimSuffix(pair.name, " in the state directory"), " ", "_")
		figures = append(figures, beside(name, "count", pair.late, pair.early, 0))
	}
	if late.resident > limitResident*early.resident {
		m.fails("%d cycles: resident memory grew by %.1f %%, at most %.0f %% are allowed",
			count, 100*(late.resident/early.resident-1), 100*(limitResident-1))
	}
	return append(figures, beside("cycles_resident", "bytes", late.resident, early.resident, limitResident))
}
