package runtime

import (
	"context"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// pickEngine finds the engine by name; "" is the first that can be used.
func pickEngine(ctx context.Context, engines []engine.Engine, name string, cfg engine.Config) (engine.Engine, error) {
	for _, e := range engines {
		limits := enforces(e, cfg.Limits)
		if e.Name() == name && !limits {
			return nil, fault.New(fault.Unsupported, fault.StageEngine,
				"engine %s: cpu_permille, cpu_weight, max_processes and max_open_files are not enforced by it", name)
		}
		if e.Name() == name || name == "" && limits && usable(ctx, e, cfg) {
			return e, nil
		}
	}
	if name == "" {
		return nil, fault.New(fault.Unsupported, fault.StageEngine,
			"no engine here keeps hostile code from the host: on Windows MSB_ENGINE_JOB, which limits what programs use, can be had by its name")
	}
	return nil, fault.New(fault.Unsupported, fault.StageEngine, "engine %q is not in this msb", name)
}

// usable asks an engine whether AUTO may take it.
func usable(ctx context.Context, e engine.Engine, cfg engine.Config) bool {
	if _, never := e.(engine.ByNameOnly); never {
		return false
	}
	c, asks := e.(engine.Chooser)
	return !asks || c.Usable(ctx, cfg) == nil
}

// engineConfig is the configuration as an engine sees it, without the places and files
// that only a boot needs.
func (s *supervisor) engineConfig(sources []*mounts.Source) engine.Config {
	return engine.Config{
		ID: s.cfg.ID, Name: s.cfg.Name, Root: s.cfg.Root, Mounts: sources,
		MemoryBytes: s.cfg.MemoryBytes, OverlayBytes: s.cfg.OverlayBytes, Limits: s.engineLimits(),
		KernelPath: s.cfg.KernelPath, Kernels: s.cfg.Kernels,
	}
}
