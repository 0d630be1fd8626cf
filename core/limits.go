package core

import (
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
)

// Limits are those of a sandbox besides memory and overlay. The header's table says
// what each zero means.
type Limits = control.Limits

// Limits and defaults of Limits, as the header states them.
const (
	MinCPUPermille = 10
	MaxCPUPermille = 4096 * 1000
	MaxCPUWeight   = 10000
	MinCPUTime     = 10 * time.Millisecond // a step of the engine's clock
	MaxProcesses   = 32768
	MinOpenFiles   = 16 // what starts a program needs some itself
	MaxOpenFiles   = 1 << 20
)

// checkLimits validates the limits. Their defaults are the engine's.
func checkLimits(cfg *control.Config) (err error) {
	l := &cfg.Limits
	if l.CPUPermille != 0 && (l.CPUPermille < MinCPUPermille || l.CPUPermille > MaxCPUPermille) {
		return invalid("cpu_permille %d: between %d and %d", l.CPUPermille, MinCPUPermille, MaxCPUPermille)
	}
	if l.CPUWeight > MaxCPUWeight {
		return invalid("cpu_weight %d: between 1 and %d", l.CPUWeight, MaxCPUWeight)
	}
	if l.CPUTime, err = timeout("cpu_time_limit_ms", l.CPUTime, 0); err != nil {
		return err
	}
	if l.CPUTime != 0 && l.CPUTime < MinCPUTime {
		return invalid("cpu_time_limit_ms: %v is less than %v", l.CPUTime, MinCPUTime)
	}
	if l.Processes > MaxProcesses {
		return invalid("max_processes %d: between 1 and %d", l.Processes, MaxProcesses)
	}
	if l.OpenFiles != 0 && l.OpenFiles < MinOpenFiles || l.OpenFiles > MaxOpenFiles {
		return invalid("max_open_files %d: between %d and %d", l.OpenFiles, MinOpenFiles, MaxOpenFiles)
	}
	return nil
}
