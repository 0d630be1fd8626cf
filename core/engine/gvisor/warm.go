package gvisor

import (
	"encoding/json"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/runsc/container"
	"gvisor.dev/gvisor/runsc/sandbox"
)

// Warm does once, on another processor, what a boot would do for the first time on
// its way: Go looks with a child process whether it can use pidfds, and learns
// types by reflection before it writes them as JSON. It needs no options, changes
// nothing, and ends by itself.
func (sandboxer) Warm() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		p.Release()
	}
	askCPU()
	for _, v := range []any{
		&specs.Spec{},
		&container.Container{Spec: &specs.Spec{}, Sandbox: &sandbox.Sandbox{}},
		&control.ExecArgs{},
	} {
		json.Marshal(v) // for its types alone: an error is none
	}
}
