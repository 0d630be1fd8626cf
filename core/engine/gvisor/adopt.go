package gvisor

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Pools tells that machines of this engine are engine.Adoptable.
func (sandboxer) Pools() {}

// Healthy asks the sentry, and the kernel about both processes: one that was just
// killed may not have been noticed yet, a stopped one never is.
func (m *machine) Healthy(ctx context.Context) error {
	for _, pid := range []int{m.pid, m.gofer} {
		if pid > 0 && !runs(pid) {
			return fault.New(fault.Gone, fault.StageEngine, "gvisor: process %d has ended or is stopped", pid)
		}
	}
	return m.rpcError(m.lineage.call(ctx, wire.Hello, 0), "ask the sentry")
}

// runs reports whether a child of this process has neither ended nor been stopped.
// It reaps nothing.
func runs(pid int) bool {
	const look = unix.WEXITED | unix.WSTOPPED | unix.WNOHANG | unix.WNOWAIT
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, look, nil)
		if err != unix.EINTR {
			return err == nil && info.Signo == 0
		}
	}
}

// Moved has nothing to do: no file of the directory is opened by path any more.
func (m *machine) Moved(string) {}
