package gvisor

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

var _ engine.Terminals = (*machine)(nil)

// SignalForeground signals what is in the foreground of a program's terminal. The
// sentry knows: the terminal is the host's, but its sessions are the guest's.
func (m *machine) SignalForeground(p engine.Process, sig syscall.Signal) error {
	pid := int32(p.PID())
	err := m.signal(signalArgs{CID: m.id, PID: pid, Signo: int32(sig), Mode: toForeground})
	if err != nil && (strings.Contains(err.Error(), unix.ESRCH.Error()) || strings.Contains(err.Error(), "no thread group")) {
		return noProcess(pid)
	}
	return err
}
