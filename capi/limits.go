package main

// #include "shim.h"
import "C"

import "github.com/libmicrosandbox/microsandbox/core"

func limits(o *C.msb_sandbox_options) core.Limits {
	return core.Limits{
		CPUPermille: uint32(o.cpu_permille), CPUWeight: uint32(o.cpu_weight), CPUTime: duration(o.cpu_time_limit_ms),
		Processes: uint32(o.max_processes), OpenFiles: uint32(o.max_open_files),
	}
}

func putLimits(out *C.msb_sandbox_info, l core.Limits) {
	out.cpu_permille, out.cpu_weight = C.uint32_t(l.CPUPermille), C.uint32_t(l.CPUWeight)
	out.cpu_time_limit_ms = C.int64_t(l.CPUTime.Milliseconds())
	out.max_processes, out.max_open_files = C.uint32_t(l.Processes), C.uint32_t(l.OpenFiles)
}
