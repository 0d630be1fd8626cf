package gvisor

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// lastUsage is what a guest that sleeps had used when it fell asleep.
type lastUsage struct {
	mu    sync.Mutex
	sleep <-chan struct{}
	usage engine.Usage
}

// Usage is what the machine uses; nobody is asked twice about a guest that sleeps.
func (m *machine) Usage(ctx context.Context) (engine.Usage, error) {
	m.last.mu.Lock()
	defer m.last.mu.Unlock()
	sleep := m.Asleep()
	if sleep != nil && sleep == m.last.sleep {
		return m.last.usage, nil
	}
	u, err := m.usage(ctx)
	if err == nil && sleep != nil && sleep == m.Asleep() {
		m.last.sleep, m.last.usage = sleep, u
	}
	return u, err
}

// Asleep implements engine.Sleeper.
func (m *machine) Asleep() <-chan struct{} { return m.memory.guest.Asleep() }

// usage asks the sentry for CPU time and network counters, and looks at memory as
// the guard does. The sentry counts CPU time in steps of 10 ms.
func (m *machine) usage(ctx context.Context) (engine.Usage, error) {
	var out eventOut
	if _, err := m.rpc.call(ctx, methodEvent, &m.id, &out); err != nil {
		return engine.Usage{}, m.rpcError(err, "usage")
	}
	used, err := m.memory.used()
	if err != nil {
		return engine.Usage{}, m.rpcError(err, "memory usage")
	}
	var memory memoryUsage
	if _, err := m.rpc.call(ctx, methodUsage, &memoryUsageArgs{Full: true}, &memory); err != nil {
		return engine.Usage{}, m.rpcError(err, "memory usage")
	}
	u := engine.Usage{
		CPUTime:     time.Duration(out.ContainerUsage[m.id]),
		MemoryBytes: used, MemoryPeakBytes: m.memory.peak.Load(),
		OverlayBytes: memory.Tmpfs,
	}
	u.DiskReadBytes, u.DiskWrittenBytes, u.DiskKnown = m.diskBytes()
	for _, n := range out.Event.Data.NetworkInterfaces {
		if n.Name != "lo" {
			u.NetworkReceivedBytes += n.RxBytes
			u.NetworkSentBytes += n.TxBytes
		}
	}
	return u, nil
}

// diskBytes sums what sentry and gofer have read from and written to storage: files
// of the host in the page cache cost nothing and are not counted, as in proc(5).
func (m *machine) diskBytes() (read, written uint64, known bool) {
	pids := []int{m.pid}
	if m.gofer > 0 {
		pids = append(pids, m.gofer)
	}
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
		if err != nil {
			return 0, 0, false
		}
		for _, line := range strings.Split(string(data), "\n") {
			name, value, _ := strings.Cut(line, ": ")
			n, _ := strconv.ParseUint(value, 10, 64)
			switch name {
			case "read_bytes":
				read += n
			case "write_bytes":
				written += n
			}
		}
	}
	return read, written, true
}
