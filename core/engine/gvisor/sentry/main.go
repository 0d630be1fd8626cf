// Package sentry is what runs in the engine's own processes: gVisor's sentry and
// gofer, with what is ours in them. The supervisor imports nothing of gVisor, and so
// runs before gVisor is initialised: see package wire for what both have in common.
package sentry

import (
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/cli"
	"gvisor.dev/gvisor/runsc/cmd"
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"
	"gvisor.dev/gvisor/runsc/cmd/util"
	"gvisor.dev/gvisor/runsc/specutils"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/filters"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"

	_ "github.com/libmicrosandbox/microsandbox/core/engine/gvisor/early" // must be initialised first
	_ "gvisor.dev/gvisor/pkg/sentry/platform/platforms"                  // systrap
)

// Main runs the engine's own processes. Every binary that uses the engine
// calls it first: the sentry, the gofer and their helpers are re-executions of
// that binary, told apart by argv[0]. In those it never returns; in any other
// process it returns at once and changes nothing.
func Main() {
	switch {
	case len(os.Args) < 2:
		return
	case os.Args[0] == wire.SentryName:
		refuseSetIDs()
		deferGC()
		skipTracePoints()
		filters.Use()
		attend()
	case os.Args[0] == wire.GoferName:
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

// attend waits for what this sentry is to run. A supervisor that ends, or that has
// no use for it, closes the socket.
func attend() {
	if os.Args[1] != wire.AttendCommand {
		os.Exit(128)
	}
	args, orders, err := wire.Receive(wire.OrdersFD)
	if err != nil {
		os.Exit(128)
	}
	unix.Close(wire.OrdersFD)
	UseCPU(orders.CPU)
	os.Args = append(os.Args[:1], args...)
	useUmounter(option(args, "--exec-fd"))
}

// useUmounter makes gVisor execute the launcher, given by its descriptor, where it
// would execute this binary to have /proc unmounted: that takes a tenth of the time.
// It stays with this binary on a system where files in memory cannot be executed.
func useUmounter(fd string) {
	path := "/proc/self/fd/" + fd
	if unix.Access(path, unix.X_OK) == nil {
		specutils.ExePath = path
	}
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
