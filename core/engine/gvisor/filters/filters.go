// Package filters holds the system call filters of sentry and gofer, compiled
// beforehand: compiling them takes a third of the boot. The programs are those
// of the pinned gVisor for the options that the engine uses; gVisor looks them
// up by a key that names all of those options and compiles anew on a miss, so
// a wrong filter is never used. A test compares them with a fresh compilation.
package filters

import (
	"encoding/json"
	"os"
	"strings"
	_ "unsafe" // for linkname

	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	sentry "gvisor.dev/gvisor/runsc/boot/filter"
	gofer "gvisor.dev/gvisor/runsc/fsgofer/filter"
)

//go:generate go run ./gen

// Set is what a file of this package holds.
type Set struct {
	Sentry, Gofer []Filter
}

// Filter is a compiled program. gVisor's own variables are in the program;
// PID lists where the process's own id belongs besides: gVisor's rules take it
// from the process that compiles them.
type Filter struct {
	precompiledseccomp.Program
	PID []int
}

// program returns the filter for the process with the given id.
func (f Filter) program(pid int) precompiledseccomp.Program {
	for _, at := range f.PID {
		f.Bytecode32[at] = uint32(pid)
	}
	return f.Program
}

// gVisor's build without Bazel has these maps and leaves them empty.
//
//go:linkname sentryPrograms gvisor.dev/gvisor/runsc/boot/filter.precompiledPrograms
var sentryPrograms map[string]precompiledseccomp.Program

//go:linkname goferPrograms gvisor.dev/gvisor/runsc/fsgofer/filter.precompiledPrograms
var goferPrograms map[string]precompiledseccomp.Program

// Use makes this process, sentry or gofer, use the compiled filters. It does
// nothing on a processor that none were compiled for.
func Use() {
	set, err := Load()
	if err != nil {
		return
	}
	// The first lookup initialises the maps.
	sentry.GetPrecompiled("")
	gofer.GetPrecompiled("")
	for _, f := range set.Sentry {
		sentryPrograms[f.Name] = f.program(os.Getpid())
	}
	for _, f := range set.Gofer {
		program := f.program(os.Getpid())
		goferPrograms[f.Name] = program
		// The engine's own extension of the gofer adds no rules; gVisor's key only
		// says that there is one.
		goferPrograms[strings.Replace(f.Name, "ExtraRules=false", "ExtraRules=true", 1)] = program
	}
}

// Load decodes the compiled filters.
func Load() (Set, error) {
	var set Set
	err := json.Unmarshal(compiled, &set)
	return set, err
}
