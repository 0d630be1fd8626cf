package runtime

import (
	"context"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/metrics"
	"github.com/libmicrosandbox/microsandbox/core/process"
)

// idleSkip is how many intervals pass between two samples of a sandbox in which no
// program runs, or none that is awake: an idle sandbox should not wake its host
// every second.
const idleSkip = 10

// claimSlot makes the reserved metrics slot ours, early: a reservation is worth no
// more than the life of its launcher. Without one there are no metrics.
func (s *supervisor) claimSlot() {
	if s.cfg.Metrics == nil {
		return
	}
	registry, err := metrics.OpenExisting(s.cfg.StateDir)
	if err != nil {
		return
	}
	defer registry.Close()
	self, err := process.Self()
	if err != nil {
		return
	}
	if w, err := registry.Activate(*s.cfg.Metrics, self); err == nil {
		s.slot = w
	}
}

// goSample starts what writes metrics, unless the sandbox ends.
func (s *supervisor) goSample() {
	s.sampling.Go(s.sample)
}

func (s *supervisor) releaseSlot() {
	if s.slot != nil {
		s.slot.Release(false)
	}
}

// sample writes what the machine uses into the slot, until the sandbox ends or the
// registry is gone.
func (s *supervisor) sample() {
	if s.cfg.Pooled {
		s.claimSlot() // it was reserved when the sandbox was taken
	}
	if s.slot == nil {
		return
	}
	var last metrics.Sample
	for n := 0; ; n++ {
		// The first sample after the first interval: the start belongs to the first program.
		slept, ended := s.untilSample()
		if ended {
			return
		}
		s.mu.Lock()
		programs := uint64(len(s.programs))
		s.mu.Unlock()
		if slept || programs > 0 || last.Programs > 0 || n%idleSkip == 0 {
			next, ok := s.measure(programs, last)
			if ok && s.slot.Write(next) != nil {
				return
			}
			last = next
		}
	}
}

// untilSample waits for one interval, and longer while the guest sleeps: slept is
// true then.
func (s *supervisor) untilSample() (slept, ended bool) {
	wait, asleep := s.cfg.SampleEvery, s.asleep()
	if asleep != nil {
		wait, slept = wait*idleSkip, true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return slept, false
		case <-asleep:
			asleep = nil
			timer.Reset(s.cfg.SampleEvery)
		case <-s.ending:
			return slept, true
		}
	}
}

// asleep is nil while the guest may run, or nobody knows.
func (s *supervisor) asleep() <-chan struct{} {
	if m, ok := s.machine.(engine.Sleeper); ok {
		return m.Asleep()
	}
	return nil
}

func (s *supervisor) measure(programs uint64, last metrics.Sample) (metrics.Sample, bool) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.SampleEvery+time.Second)
	defer cancel()
	u, err := s.machine.Usage(ctx)
	if err != nil {
		return last, false
	}
	return toSample(u, programs, time.Since(s.created), last), true
}

func toSample(u engine.Usage, programs uint64, uptime time.Duration, last metrics.Sample) metrics.Sample {
	next := metrics.Sample{
		Present: metrics.HasCPUTime | metrics.HasMemoryUsed | metrics.HasMemoryPeak | metrics.HasNetworkReceived |
			metrics.HasNetworkSent | metrics.HasPrograms | metrics.HasUptime,
		CPUTime: u.CPUTime, MemoryUsedBytes: u.MemoryBytes, MemoryPeakBytes: u.MemoryPeakBytes,
		NetworkReceivedBytes: u.NetworkReceivedBytes, NetworkSentBytes: u.NetworkSentBytes,
		OverlayUsedBytes: u.OverlayBytes, Programs: programs, Uptime: uptime,
	}
	next.Present |= metrics.HasOverlayUsed
	if u.DiskKnown {
		next.Present |= metrics.HasDiskRead | metrics.HasDiskWritten
		next.DiskReadBytes, next.DiskWrittenBytes = u.DiskReadBytes, u.DiskWrittenBytes
	}
	if wall := uptime - last.Uptime; last.Uptime > 0 && wall > 0 {
		next.Present |= metrics.HasCPUPermille
		next.CPUPermille = uint64(max(u.CPUTime-last.CPUTime, 0) * 1000 / wall)
	}
	return next
}
