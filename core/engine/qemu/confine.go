package qemu

import (
	"fmt"

	"github.com/libmicrosandbox/microsandbox/core/cgroup"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// DefaultLimits are an engine.Limiter's.
func (sandboxer) DefaultLimits(memoryBytes uint64) engine.Limits {
	return engine.UsualLimits(memoryBytes)
}

// Confine moves QEMU into a control group.
func (m *machine) Confine(g *cgroup.Group) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reaped {
		return fault.New(fault.Gone, fault.StageEngine, "engine %s: the machine has ended", m.name)
	}
	return g.Attach(m.pid)
}

// FixedMemory says that a guest cannot take more than the memory it has; QEMU's own
// beside it would only make a group's limit wrong.
func (m *machine) FixedMemory() {}

// ProcessesRefused reports whether a process was ever one too many: of programs that
// have ended.
func (m *machine) ProcessesRefused() bool { return m.client.ProcessesRefused() }

func limitsNote(l engine.Limits) string {
	return fmt.Sprintf("limits: at most %d processes and threads (guest's control groups), %d open files of each process (guest's kernel)",
		l.Processes, l.OpenFiles)
}
