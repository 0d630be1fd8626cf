package sentry

import (
	"sync"
	_ "unsafe" // for linkname

	_ "gvisor.dev/gvisor/pkg/sentry/seccheck" // defines seccheckOnce
)

// seccheckOnce guards the registration of gVisor's trace points, which takes
// milliseconds of each boot.
//
//go:linkname seccheckOnce gvisor.dev/gvisor/pkg/sentry/seccheck.initOnce
var seccheckOnce sync.Once

// skipTracePoints makes the sentry register none: no trace session is ever
// opened in it.
func skipTracePoints() { seccheckOnce.Do(func() {}) }
