package supervise

import (
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor"
	"github.com/libmicrosandbox/microsandbox/core/engine/qemu"
)

// Engines are those of this executable, the strongest first.
func Engines() []engine.Engine { return []engine.Engine{qemu.New(), gvisor.New(), qemu.NewTCG()} }
