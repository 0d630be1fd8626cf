package engine

// Default limits of processes: one needs some 0.4 MiB of a kernel's memory, and with
// gVisor one that is refused as much for a moment.
const (
	memoryPerProcess = 2 << 20
	leastProcesses   = 32
	mostProcesses    = 16384
	defaultOpenFiles = 4096
)

// UsualLimits are those of engines that limit processes and open files by themselves, as
// the header states them.
func UsualLimits(memoryBytes uint64) Limits {
	return Limits{
		Processes: uint32(min(max(memoryBytes/memoryPerProcess, leastProcesses), mostProcesses)),
		OpenFiles: defaultOpenFiles,
	}
}
