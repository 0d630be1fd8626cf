// Package gvisor is the engine that runs the guest on gVisor: a kernel in user
// space (the sentry), which needs neither KVM nor root. The sentry is a child
// of the supervisor and dies with it; so does the gofer, the process that
// serves directories of the host to it. Both are re-executions of the
// supervisor's binary: see package sentry.
package gvisor

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"sync/atomic"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/guest"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// New returns the engine.
func New() engine.Engine { return sandboxer{begun: &atomic.Pointer[attending]{}} }

type sandboxer struct {
	flags map[string]string          // more gVisor options; for tests
	begun *atomic.Pointer[attending] // by Begin, for the next Boot; nil: there is no Begin
}

func (sandboxer) Name() string { return "gvisor" }

// Begin implements engine.Beginner: the sentry initialises itself beside what comes
// before the boot. What fails here fails there.
func (s sandboxer) Begin(id, under string) {
	ids, err := sandboxIDs(id)
	if err != nil {
		return
	}
	if a, err := attend(id, under, ids); err == nil {
		if old := s.begun.Swap(a); old != nil {
			old.abandon()
		}
	}
}

// Abandon implements engine.Beginner.
func (s sandboxer) Abandon() {
	if a := s.take(); a != nil {
		a.abandon()
	}
}

func (s sandboxer) take() *attending {
	if s.begun == nil {
		return nil
	}
	return s.begun.Swap(nil)
}

// sentry returns the sentry that Begin has started, or starts it.
func (s sandboxer) sentry(cfg engine.Config) (*attending, error) {
	if a := s.take(); a != nil {
		if a.id == cfg.ID {
			return a, nil
		}
		a.abandon()
	}
	ids, err := sandboxIDs(cfg.ID)
	if err != nil {
		return nil, err
	}
	a, err := attend(cfg.ID, cfg.Dir, ids)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "gvisor")
	}
	return a, nil
}

func sandboxIDs(id string) (idMap, error) {
	src, err := hostIDs()
	if err != nil {
		return idMap{}, fault.Wrap(err, fault.Setup, fault.StageEngine, "user namespace")
	}
	return chooseIDs(src, id)
}

func (s sandboxer) Boot(ctx context.Context, cfg engine.Config) (engine.Machine, error) {
	if !filepath.IsAbs(cfg.Dir) || cfg.ID == "" || cfg.MemoryBytes == 0 || cfg.OverlayBytes == 0 {
		s.Abandon()
		return nil, fault.New(fault.Internal, fault.StageEngine, "gvisor: incomplete configuration")
	}
	if err := ctx.Err(); err != nil {
		s.Abandon()
		return nil, ended(ctx)
	}
	sentry, err := s.sentry(cfg)
	if err != nil {
		return nil, err
	}
	p := newPaths(cfg.Dir)
	root, err := prepareRoot(cfg, p, sentry.ids)
	if err != nil {
		sentry.abandon()
		return nil, err
	}
	defer root.close()
	return s.start(ctx, cfg, p, root, sentry)
}

// start boots the prepared root in the sentry, which it takes.
func (s sandboxer) start(ctx context.Context, cfg engine.Config, p paths, root *rootFS, sentry *attending) (engine.Machine, error) {
	launcher, err := memfile("launcher", guest.Launcher)
	if err != nil {
		sentry.abandon()
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "gvisor: launcher")
	}
	lineage, err := newLineageLink(cfg.Limits)
	if err != nil {
		sentry.abandon()
		launcher.Close()
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "gvisor: lineage")
	}
	more := traceOptions()
	maps.Copy(more, s.flags)
	b := &boot{
		cfg: cfg, paths: p, root: root, ids: sentry.ids, launcher: launcher, lineage: lineage,
		options: p.options(cfg.OverlayBytes, more),
	}
	if b.logs, err = openLogs(more["debug-log"]); err != nil {
		sentry.abandon()
	} else {
		defer b.logs.close()
		err = b.run(ctx, sentry)
	}
	lineage.close()
	if err != nil {
		launcher.Close()
		lineage.link.close()
		if b.state != nil {
			b.state.Close()
		}
		return nil, bootError(ctx, b.logs, err)
	}
	m, err := newMachine(ctx, b)
	if err != nil {
		return nil, bootError(ctx, b.logs, err)
	}
	return m, nil
}

// ended is the error for a context that is over.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.TimedOut, fault.StageEngine, "gvisor: the boot took longer than its time limit")
	}
	return fault.New(fault.Canceled, fault.StageEngine, "gvisor: the boot was canceled")
}
