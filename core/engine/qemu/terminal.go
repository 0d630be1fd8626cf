package qemu

import (
	"syscall"

	"github.com/libmicrosandbox/microsandbox/core/agent"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

var _ engine.Terminals = (*machine)(nil)

// SignalForeground signals what is in the foreground of a program's terminal, which
// is the guest's: the host's only shows it.
func (m *machine) SignalForeground(p engine.Process, sig syscall.Signal) error {
	process, ok := p.(*agent.Process)
	if !ok {
		return fault.New(fault.Invalid, fault.StageEngine, "engine %s: signal the foreground: no program of a microVM", m.name)
	}
	return process.SignalForeground(sig)
}
