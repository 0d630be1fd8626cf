package main

// #include "shim.h"
// #include "check.h"
import "C"

import (
	"unsafe"

	"github.com/libmicrosandbox/microsandbox/core"
)

//export msbgo_sandbox_metrics
func msbgo_sandbox_metrics(h C.msb_handle, out *C.msb_metrics, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findSandbox(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	entry, err := o.sandbox.Metrics()
	if err != nil {
		return fail(e, err)
	}
	putMetrics(out, entry)
	return C.MSB_OK
}

//export msbgo_metrics_list
func msbgo_metrics_list(p *C.msbc_place, entries *C.msb_metrics, capacity C.uint32_t, count *C.uint32_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	if err := startPoller(); err != nil {
		return fail(e, err)
	}
	list, err := core.ReadMetrics(place(p))
	if err != nil {
		return fail(e, err)
	}
	return putList(list, putMetrics, entries, unsafe.Offsetof(entries.name), capacity, count, e)
}

func putMetrics(out *C.msb_metrics, m core.Metrics) {
	s := m.Sample
	*out = C.msb_metrics{
		size: C.sizeof_msb_metrics, known: C.uint32_t(s.Present), sampled_unix_ms: unixMs(s.SampledAt),
		uptime_ns: C.int64_t(s.Uptime), cpu_time_ns: C.int64_t(s.CPUTime),
		cpu_permille: C.uint32_t(s.CPUPermille), programs: C.uint32_t(s.Programs),
		memory_used_bytes: C.uint64_t(s.MemoryUsedBytes), memory_peak_bytes: C.uint64_t(s.MemoryPeakBytes),
		memory_limit_bytes: C.uint64_t(m.Limits.MemoryBytes),
		overlay_used_bytes: C.uint64_t(s.OverlayUsedBytes), overlay_limit_bytes: C.uint64_t(m.Limits.OverlayBytes),
		disk_read_bytes: C.uint64_t(s.DiskReadBytes), disk_written_bytes: C.uint64_t(s.DiskWrittenBytes),
		net_received_bytes: C.uint64_t(s.NetworkReceivedBytes), net_sent_bytes: C.uint64_t(s.NetworkSentBytes),
		pid: C.int32_t(m.Supervisor.Pid),
	}
	putText(out.name[:], m.Name)
}
