// Package supervise runs the supervisor before the rest of msb is initialised: gVisor
// alone has some 200 packages, whose variables cost each supervisor milliseconds and
// memory that stays, and it needs none of them. Go initialises packages that are ready
// by import path, and nothing that this one imports imports gVisor, so it comes before
// most of those under gvisor.dev. A test says so.
package supervise

import (
	"os"
	goruntime "runtime"

	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/core/runtime"
)

// maxProcessors bounds what Go keeps for each processor of a large machine: a supervisor
// has little to compute.
const maxProcessors = 4

func init() {
	if len(os.Args) < 2 || os.Args[1] != launch.SuperviseCommand {
		return
	}
	goruntime.GOMAXPROCS(min(goruntime.GOMAXPROCS(0), maxProcessors))
	// The goroutine that initialises is tied to the first thread, and each change to
	// it and back would be one of threads.
	go func() { os.Exit(runtime.Main(Engines())) }()
	select {}
}
