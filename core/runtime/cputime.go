package runtime

import (
	"context"
	"runtime"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/handle"
)

// Looks at the processor time come when the limit can have been reached with all of
// the host's processors busy, within these bounds. The engine counts in steps of 10 ms.
const (
	shortestLook = 20 * time.Millisecond
	longestLook  = time.Second
)

// limitCPUTime ends the sandbox once its programs have used its processor time, until
// it ends otherwise.
func (s *supervisor) limitCPUTime() {
	limit := s.cfg.Limits.CPUTime
	if limit == 0 {
		return
	}
	timer := time.NewTimer(nextLook(limit))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.ending:
			return
		case <-s.machine.Done():
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), longestLook)
		used, err := s.machine.Usage(ctx)
		cancel()
		if err == nil && used.CPUTime >= limit {
			s.end(handle.CauseCPUTime, 0)
			return
		}
		timer.Reset(nextLook(limit - used.CPUTime))
	}
}

func nextLook(left time.Duration) time.Duration {
	return min(max(left/time.Duration(runtime.NumCPU()), shortestLook), longestLook)
}
