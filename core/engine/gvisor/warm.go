package gvisor

import (
	"encoding/json"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Warm does once, on another processor, what a boot would do for the first time on
// its way: it asks the processor, and Go learns types by reflection before it writes
// them as JSON. It needs no options, changes nothing, and ends by itself.
func (sandboxer) Warm() {
	askCPU()
	for _, v := range []any{&specs.Spec{}, &networkArgs{}, &execArgs{}} {
		json.Marshal(v) // for its types alone: an error is none
	}
}
