package gvisor

import (
	"os"
	"runtime/debug"
	"time"

	"gvisor.dev/gvisor/runsc/cli"
	"gvisor.dev/gvisor/runsc/cmd"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/filters"

	_ "github.com/libmicrosandbox/microsandbox/core/engine/gvisor/early" // must be initialised first
	_ "gvisor.dev/gvisor/pkg/sentry/platform/platforms"                  // systrap
)

const (
	sentryName = "runsc-sandbox"
	goferName  = "runsc-gofer"
)

// Main runs the engine's own processes. Every binary that uses the engine
// calls it first: the sentry, the gofer and their helpers are re-executions of
// that binary, told apart by argv[0]. In those it never returns; in any other
// process it returns at once and changes nothing.
func Main() {
	switch {
	case len(os.Args) < 2:
		return
	case os.Args[0] == sentryName:
		refuseSetIDs()
		deferGC()
		skipTracePoints()
		if annotations, err := specAnnotations(os.Args); err == nil {
			limitTotalMemory(os.Args, annotations[memoryAnnotation])
			useCPU(annotations[cpuAnnotation])
		}
		filters.Use()
	case os.Args[0] == goferName:
		if !serveMounts() {
			mountRoot()
		}
		refuseSetIDs()
		filters.Use()
	case os.Args[0] == "/proc/self/exe" && os.Args[1] == "umount":
	default:
		return
	}
	cli.Run(nil, map[util.SubCommand]string{
		new(sentrycmd.Boot):   "",
		new(sentrycmd.Umount): "",
		new(cmd.Gofer):        "",
	}, nil)
	os.Exit(128)
}

// deferGC turns the collector off while the sentry boots: its live heap is
// small, and a collection there costs milliseconds. The limit bounds the heap
// in that time. A sentry that lives on gives back what its boot has left.
func deferGC() {
	const (
		bootHeap = 96 << 20
		bootTime = 400 * time.Millisecond
		trimTime = 5 * time.Second
	)
	percent := debug.SetGCPercent(-1)
	limit := debug.SetMemoryLimit(bootHeap)
	time.AfterFunc(bootTime, func() {
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(percent)
	})
	time.AfterFunc(trimTime, debug.FreeOSMemory)
}
