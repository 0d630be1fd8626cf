package supervise

import (
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/job"
)

// Engines are those of this executable.
func Engines() []engine.Engine { return []engine.Engine{job.New()} }
