package gvisor

import "encoding/json"

// Warm does once, on another processor, what a boot would do for the first time on
// its way: it asks the processor, and Go learns types by reflection before it writes
// them as JSON. It needs no options, changes nothing, and ends by itself.
func (sandboxer) Warm() {
	askCPU()
	for _, v := range []any{&ociSpec{}, &networkArgs{}, &execArgs{}} {
		json.Marshal(v) // for its types alone: an error is none
	}
}
