package gvisor

import (
	"fmt"

	"github.com/libmicrosandbox/microsandbox/core/cgroup"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Receipt lists what is enforced by what; the memory's mechanism may come later
// than the machine.
func (m *machine) Receipt() []string {
	memory := m.memory.note()
	if g := m.group.Load(); g != nil && m.confined.Load() {
		if note, _ := g.Notes(); note != "" {
			memory += "; " + note
		}
	}
	return append([]string{memory}, m.receipt...)
}

func limitsNote(l engine.Limits) string {
	return fmt.Sprintf("limits: at most %d processes and threads, %d open files of each process (sentry)", l.Processes, l.OpenFiles)
}

// Confine moves the sentry and systrap's stubs into a control group. The gofer stays
// outside: it holds no memory of the guest.
func (m *machine) Confine(g *cgroup.Group) error {
	m.moving.Lock()
	defer m.moving.Unlock()
	m.mu.Lock()
	ended := m.reaped
	m.mu.Unlock()
	if ended {
		return fault.New(fault.Gone, fault.StageEngine, "gvisor: the machine has ended")
	}
	m.group.Store(g) // before it can end the machine
	if err := g.Attach(m.pid); err != nil {
		m.group.Store(nil)
		return err
	}
	m.confined.Store(true)
	go func() {
		select {
		case <-g.OutOfMemory():
			m.end(engine.MemoryLimit)
		case <-m.done:
		}
	}()
	return nil
}

// ProcessesRefused reports whether a process was ever one too many.
func (m *machine) ProcessesRefused() bool { return m.lineage.refused.Load() }
