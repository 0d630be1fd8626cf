package handle

import (
	"errors"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/metrics"
	"github.com/libmicrosandbox/microsandbox/core/process"
)

// slotWait bounds how long to try to free a slot whose supervisor has just ended.
const slotWait = time.Second

// reserveSlot takes a slot of the metrics registry for a new sandbox; nil when
// none is wanted. One that cannot be had costs the metrics, not the sandbox.
func reserveSlot(cfg control.Config) *metrics.Token {
	if cfg.SampleEvery <= 0 {
		return nil
	}
	token, err := tryReserve(cfg)
	if err != nil {
		logf(cfg.Name, 0, "no metrics: %v", err)
		return nil
	}
	return &token
}

func tryReserve(cfg control.Config) (metrics.Token, error) {
	if err := ensureRoot(cfg.StateDir); err != nil {
		return metrics.Token{}, err
	}
	registry, err := metrics.Open(cfg.StateDir, 0)
	if err != nil {
		return metrics.Token{}, err
	}
	defer registry.Close()
	self, err := process.Self()
	if err != nil {
		return metrics.Token{}, err
	}
	return registry.Reserve(cfg.Name, cfg.ID, metrics.Limits{MemoryBytes: cfg.MemoryBytes, OverlayBytes: cfg.OverlayBytes}, self)
}

// freeSlot gives back the slot of a sandbox that is gone, whatever became of it.
func freeSlot(cfg control.Config) {
	if cfg.Metrics == nil {
		return
	}
	registry, err := metrics.OpenExisting(cfg.StateDir)
	if err != nil {
		return // it went with the state directory
	}
	defer registry.Close()
	for deadline := time.Now().Add(slotWait); ; time.Sleep(time.Millisecond) {
		_, err := registry.Free(*cfg.Metrics)
		if !errors.Is(err, &fault.Error{Code: fault.State}) || time.Now().After(deadline) {
			return
		}
	}
}
