package gvisor

import "github.com/libmicrosandbox/microsandbox/core/engine"

// DefaultLimits are an engine.Limiter's.
func (sandboxer) DefaultLimits(memoryBytes uint64) engine.Limits {
	return engine.UsualLimits(memoryBytes)
}
