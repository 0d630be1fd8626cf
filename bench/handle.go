package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// killsPerRun makes 200 of each kind in a full run.
const killsPerRun = 10

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
	bwrap, err := m.bwrapCommand(stayArgv...)
	if err != nil {
		return nil, err
	}
	runs := killsPerRun * m.runs
	place := append([]string{"erofs", m.roots.erofs}, stayArgv...)
	owner := append([]string{m.product("bench", "host"), m.stateDir, m.product("bin", "msb"), "own"}, place...)
	end := func(argv []string) ([]float64, error) { return killer.ask(append([]string{"end"}, argv...)...) }

	// The first sandbox makes the directory.
	if _, err := m.host.ask("cycle", "erofs", m.roots.erofs); err != nil {
		return nil, err
	}
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
	if longest := summarise(answers[1][0]).max; longest >= endLimit {
		m.fails("processes of a sandbox lived on after its owner's death, and were killed after %v", time.Duration(endLimit))
	}
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

// endLimit is LIMIT_MS of programs/killer.c, in nanoseconds. Now and then bwrap's child
// lives on when bwrap is killed.
const endLimit = 10e9

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

func (m *measurement) bwrapCommand(argv ...string) ([]string, error) {
	bwrap, err := exec.LookPath("bwrap")
	if err != nil {
		return nil, fmt.Errorf("%w: install the package bubblewrap", err)
	}
	return append([]string{
		bwrap, "--die-with-parent", "--unshare-all", "--ro-bind", m.roots.dir, "/", "--proc", "/proc", "--dev", "/dev",
	}, argv...), nil
}
