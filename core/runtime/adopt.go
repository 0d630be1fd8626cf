package runtime

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// healthLimit is how long an engine may take to answer when its sandbox is taken: it
// answers in microseconds. The owner waits for longer and takes another one then.
const healthLimit = time.Second

// chooseEngine picks the engine; of those that can wait for a tenant where it must.
func (s *supervisor) chooseEngine(ctx context.Context, engines []engine.Engine) (engine.Engine, error) {
	if s.cfg.Pooled && s.cfg.Engine == "" {
		engines = slices.DeleteFunc(slices.Clone(engines), func(e engine.Engine) bool { return !pools(e) })
	}
	e, err := pickEngine(ctx, engines, s.cfg.Engine, s.engineConfig(mounts.Planned(s.cfg.Mounts)))
	if err == nil && s.cfg.Pooled && !pools(e) {
		err = fault.New(fault.Unsupported, fault.StageEngine, "engine %q: its sandboxes cannot wait in a pool", e.Name())
	}
	return e, err
}

func pools(e engine.Engine) bool {
	_, ok := e.(engine.Pooler)
	return ok
}

// warm does what a machine does only when its first program starts, before there is a
// tenant to wait for it: it starts, through the launcher, one that cannot exist.
func (s *supervisor) warm() error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.BootTimeout)
	defer cancel()
	_, err := s.machine.Start(ctx, engine.Program{Argv: []string{"/dev/null/\xff"}}) // ENOTDIR, whatever the root
	if errors.Is(err, &fault.Error{Code: fault.Exec}) {
		return nil
	}
	return fault.New(fault.Boot, fault.StageEngine, "the engine of a sandbox for a pool starts no programs: %v", err)
}

// adopt gives the waiting sandbox to its tenant, under the tenant's name. On error
// it waits on, unless it is not well: then it ends.
func (s *supervisor) adopt(req control.AdoptRequest) error {
	s.adopting.Lock() // the end waits: it takes away what lies under the name
	defer s.adopting.Unlock()
	if err := s.checkWaiting(); err != nil {
		return err
	}
	failpoint.Point("adopt.begun")
	machine := s.machine.(engine.Adoptable)
	healthy := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), healthLimit)
		defer cancel()
		healthy <- machine.Healthy(ctx)
	}()
	named := s.rename(req.Name, machine)
	if err := <-healthy; err != nil {
		s.end(handle.CauseCrashed, 0)
		return fault.New(fault.Gone, fault.StageEngine, "the engine of a sandbox in the pool does not answer: %v", err)
	}
	if named != nil {
		return named
	}
	failpoint.Point("adopt.named")
	if err := s.settle(req); err != nil {
		s.end(handle.CauseCrashed, 0) // half a change of hands
		return fault.Wrap(err, fault.IO, fault.StageState, "state of sandbox "+req.Name)
	}
	failpoint.Point("adopt.recorded")
	s.startLimits()
	s.log.Printf("taken from its pool as %q", req.Name)
	s.goSample()
	return nil
}

func (s *supervisor) checkWaiting() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.ending:
		return fault.New(fault.Gone, fault.StageControl, "the sandbox in the pool is ending")
	default:
	}
	if !s.waiting || s.draining {
		return fault.New(fault.State, fault.StageControl, "adopt: sandbox %q does not wait in a pool", s.cfg.Name)
	}
	return nil
}

// errWaiting refuses what only a tenant may do.
func (s *supervisor) errWaiting(what string) error {
	return fault.New(fault.State, fault.StageControl, "%s: sandbox %q waits in the pool of another program", what, s.cfg.Name)
}

// settle makes the request what holds from now on, in memory and on disk.
func (s *supervisor) settle(req control.AdoptRequest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting, s.created, s.attached = false, time.Now(), !req.Detached
	s.cfg.Name, s.cfg.Labels, s.cfg.Metrics = req.Name, req.Labels, req.Metrics
	s.cfg.IdleTimeout, s.cfg.MaxDuration = req.IdleTimeout, req.MaxDuration
	return s.claim.Update(func(r *store.Record) {
		r.Name, r.Labels, r.CreatedMS, r.Pooled = req.Name, req.Labels, s.created.UnixMilli(), false
		if req.Detached {
			r.Owner = store.Process{}
		}
	})
}
