package gvisor

import "github.com/libmicrosandbox/microsandbox/core/engine"

// Default limits of processes: one needs some 0.4 MiB of the sentry's memory, and one
// that is refused as much for a moment.
const (
	memoryPerProcess = 2 << 20
	leastProcesses   = 32
	mostProcesses    = 16384
	defaultOpenFiles = 4096
)

// DefaultLimits are an engine.Limiter's.
func (sandboxer) DefaultLimits(memoryBytes uint64) engine.Limits {
	return engine.Limits{
		Processes: uint32(min(max(memoryBytes/memoryPerProcess, leastProcesses), mostProcesses)),
		OpenFiles: defaultOpenFiles,
	}
}
