package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// programsPerRun makes 10,000 in a full run, one after another in one sandbox.
const programsPerRun = 500

// settledPrograms is how many come before the first look.
const settledPrograms = 200

// limitProgramsResident is how much resident memory each of the processes may grow
// in all programs after those.
const limitProgramsResident = 1.15

// spareConnections is how many the supervisor's pool of connections to the sentry may
// grow by, one descriptor in each, when two calls meet for the first time.
const spareConnections = 4

// owned is what one process has.
type owned struct{ descriptors, threads, resident float64 }

// programs starts many programs in one sandbox with a directory as its root, and
// looks at what host program, supervisor, sentry and gofer have before and after.
func (m *measurement) programs(ctx context.Context) ([]figure, error) {
	fresh := *m
	var err error
	fresh.stateDir += "-programs"
	if fresh.host, err = startHost(ctx, m.settings, fresh.stateDir); err != nil {
		return nil, err
	}
	defer fresh.host.stop()
	if _, err := fresh.host.ask("open", "dir", m.roots.path("dir"), sandboxName+"-programs"); err != nil {
		return nil, err
	}
	count := programsPerRun * m.runs
	var early, late map[string]owned
	var times []float64
	for i := range count {
		n, err := fresh.onLibrary(0, 0, "/bin/echo", "hi")
		if err != nil {
			return nil, fmt.Errorf("program %d: %w", i+1, err)
		}
		times = append(times, milliseconds(n[1]))
		if i+1 == min(settledPrograms, count/2) {
			early, err = fresh.settledOwned()
		} else if i+1 == count {
			late, err = fresh.settledOwned()
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := fresh.host.ask("close"); err != nil {
		return nil, err
	}
	figures := []figure{{name: fmt.Sprintf("programs_%d_exec_to_exit", count), unit: "ms", ours: summarise(times)}}
	return append(figures, m.compareOwned(early, late, count)...), nil
}

// processNames are those of a sandbox, by how they are called, and the host program.
var processNames = []string{"host", "supervisor", "sentry", "gofer"}

func (m *measurement) owned() (map[string]owned, error) {
	pids, err := descendants(m.host.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	all := map[string]owned{}
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue // it ended meanwhile
		}
		argv := strings.Split(string(data), "\x00")
		name := ""
		switch {
		case argv[0] == "runsc-sandbox":
			name = "sentry"
		case argv[0] == "runsc-gofer":
			name = "gofer"
		case len(argv) > 1 && argv[1] == "supervise":
			name = "supervisor"
		case filepath.Base(argv[0]) == "host":
			name = "host"
		default:
			continue
		}
		if all[name], err = ownedBy(pid); err != nil {
			return nil, err
		}
	}
	for _, name := range processNames {
		if _, found := all[name]; !found {
			return nil, fmt.Errorf("no %s among the processes of the sandbox", name)
		}
	}
	return all, nil
}

func ownedBy(pid int) (owned, error) {
	descriptors, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return owned{}, err
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return owned{}, err
	}
	resident, _, err := memory([]int{pid})
	return owned{float64(len(descriptors)), float64(len(threads)), resident}, err
}

// settledOwned looks until the descriptors have been the same for a while.
func (m *measurement) settledOwned() (map[string]owned, error) {
	seen, err := m.owned()
	for limit, since := time.Now().Add(10*still), time.Now(); err == nil && time.Since(since) < still && time.Now().Before(limit); {
		time.Sleep(still / 10)
		last := seen
		if seen, err = m.owned(); err != nil {
			break
		}
		for name, o := range seen {
			if o.descriptors != last[name].descriptors {
				since = time.Now()
			}
		}
	}
	return seen, err
}

func (m *measurement) compareOwned(early, late map[string]owned, count int) []figure {
	settled := fmt.Sprintf("after %d programs", min(settledPrograms, count/2))
	var figures []figure
	for _, name := range processNames {
		before, after := early[name], late[name]
		if after.descriptors > before.descriptors+spareConnections {
			m.fails("%d programs: %s: %.0f descriptors instead of %.0f %s", count, name, after.descriptors, before.descriptors, settled)
		}
		if after.threads > before.threads+spareThreads {
			m.fails("%d programs: %s: %.0f threads instead of %.0f %s", count, name, after.threads, before.threads, settled)
		}
		if after.resident > limitProgramsResident*before.resident {
			m.fails("%d programs: %s: resident memory grew by %.1f %%, at most %.0f %% are allowed", count, name,
				100*(after.resident/before.resident-1), 100*(limitProgramsResident-1))
		}
		for _, f := range []struct {
			what, unit    string
			after, before float64
			goal          float64
		}{
			{"descriptors", "count", after.descriptors, before.descriptors, 0},
			{"threads", "count", after.threads, before.threads, 0},
			{"resident", "bytes", after.resident, before.resident, limitProgramsResident},
		} {
			figures = append(figures, figure{name: "programs_" + name + "_" + f.what, unit: f.unit, ours: summarise([]float64{f.after}),
				peer: &summary{median: f.before}, peerName: settled, goal: f.goal})
		}
	}
	return figures
}
