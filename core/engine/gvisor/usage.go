package gvisor

import (
	"context"
	"time"

	"gvisor.dev/gvisor/runsc/boot"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// Usage asks the sentry for CPU time and network counters, and looks at memory as
// the guard does. The sentry counts CPU time in steps of 10 ms.
func (m *machine) Usage(ctx context.Context) (engine.Usage, error) {
	var out boot.EventOut
	if _, err := m.rpc.call(ctx, boot.ContMgrEvent, &m.id, &out); err != nil {
		return engine.Usage{}, m.rpcError(err, "usage")
	}
	used, err := m.memory.used()
	if err != nil {
		return engine.Usage{}, m.rpcError(err, "memory usage")
	}
	u := engine.Usage{
		CPUTime:     time.Duration(out.ContainerUsage[m.id]),
		MemoryBytes: used, MemoryPeakBytes: m.memory.peak.Load(),
	}
	for _, n := range out.Event.Data.NetworkInterfaces {
		if n.Name != "lo" {
			u.NetworkReceivedBytes += n.RxBytes
			u.NetworkSentBytes += n.TxBytes
		}
	}
	return u, nil
}
