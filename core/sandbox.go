package core

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/dir"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// Outcome is how a sandbox or program ended.
type Outcome = handle.Outcome

// Sandbox is a handle on a sandbox. Safe for concurrent use.
type Sandbox struct {
	*handle.Sandbox
}

// Flags of Info and Entry: MSB_INFO_*.
const (
	FlagAttached uint32 = 1
	FlagOwner    uint32 = 2
	FlagStored   uint32 = 4
	FlagPooled   uint32 = 8
)

// Info is what a sandbox is and does.
type Info struct {
	State, Engine, Flags      uint32
	Pid                       int32
	Programs                  uint32
	MemoryBytes, OverlayBytes uint64
	Created                   time.Time
	Receipt                   []string // "protection: mechanism"
	Limits                    Limits
}

// Create validates the options, starts a supervisor, and returns at once with a
// sandbox in state starting. This process owns it.
func Create(o Options) (*Sandbox, error) {
	cfg, err := o.config()
	if err != nil {
		return nil, err
	}
	path, err := launch.Find(o.MsbPath, o.LibraryDir)
	if err != nil {
		return nil, err
	}
	if err := openMounts(&cfg, o.Mounts); err != nil {
		return nil, err
	}
	cfg.OwnerPid = os.Getpid()
	var prepare func(context.Context) error
	if o.Replace {
		grace := o.ReplaceGrace
		if grace == 0 {
			grace = DefaultReplace
		}
		prepare = func(ctx context.Context) error { return clear(ctx, cfg, max(grace, 0)) }
	}
	return &Sandbox{handle.Start(path, cfg, cfg.BootTimeout, prepare, killed(cfg), undo(cfg))}, nil
}

// Open returns a handle that does not own a living sandbox.
func Open(ctx context.Context, name string, state State) (*Sandbox, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	path, err := state.Resolve()
	if err != nil {
		return nil, err
	}
	root, err := store.OpenExistingRoot(path)
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, store.NotFound(name, path)
	}
	defer root.Close()
	sweepAll(root)
	rec, folder, err := root.Find(name)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	alive := func(pid int) bool { return pid == rec.Supervisor.Pid && rec.Supervisor.Found() }
	var cfg control.Config
	if rec.Stored {
		cfg.Name, cfg.StateDir, cfg.Stored = name, path, true
		if cfg.StoredDir, err = state.ResolveStored(); err != nil {
			return nil, err
		}
	}
	sb, err := handle.Open(ctx, name, path, dir.Of(folder), alive, killed(cfg))
	if err != nil {
		return nil, err
	}
	return &Sandbox{sb}, nil
}

// Probe boots a sandbox with these options, runs a program in it, and returns
// what is enforced by what. It never lives on, is kept, or replaces another.
func Probe(ctx context.Context, o Options) (Info, error) {
	o.Name, o.Detached, o.Stored, o.Replace, o.SampleEvery = "", false, false, false, -1
	sb, err := Create(o)
	if err != nil {
		return Info{}, err
	}
	defer func() {
		sb.Close()
		<-sb.Done()
	}()
	select {
	case <-sb.Ready():
	case <-ctx.Done():
		return Info{}, context.Cause(ctx)
	}
	if err := sb.StartErr(); err != nil {
		return Info{}, err
	}
	if err := probeProgram(ctx, sb); err != nil {
		return Info{}, err
	}
	return sb.Info(ctx)
}

// probeProgram runs true(1). A root without it has been booted all the same, with
// our own program as its pid 1.
func probeProgram(ctx context.Context, sb *Sandbox) error {
	p, err := sb.Start(ProcessOptions{Argv: []string{"true"}})
	if err != nil {
		return err
	}
	defer p.Close()
	select {
	case <-p.Done():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := p.StartErr(); err != nil {
		if errors.Is(err, syscall.ENOENT) {
			return nil
		}
		return err
	}
	if out := p.Outcome(); out.Cause != handle.CauseExited || out.ExitCode != 0 {
		return fault.New(fault.Boot, fault.StageEngine, "probe: true(1) ended with cause %d, code %d, signal %d", out.Cause, out.ExitCode, out.Signal)
	}
	return nil
}

// Info asks the supervisor what the sandbox is and does.
func (s *Sandbox) Info(ctx context.Context) (Info, error) {
	r, err := s.Sandbox.Info(ctx)
	if err != nil {
		return Info{}, err
	}
	info := Info{
		State: r.State, Engine: engineNumber(r.Engine), Pid: int32(r.Pid), Programs: uint32(r.Programs),
		MemoryBytes: r.MemoryBytes, OverlayBytes: r.OverlayBytes, Created: time.UnixMilli(r.CreatedMS), Receipt: r.Receipt,
		Limits: r.Limits,
	}
	if r.Attached {
		info.Flags |= FlagAttached
	}
	if s.Owner() {
		info.Flags |= FlagOwner
	}
	if r.Pooled {
		info.Flags |= FlagPooled
	}
	return info, nil
}

// SetLog sends a line per action to a duplicate of fd; -1 turns it off.
func SetLog(fd int) error { return handle.SetLog(fd) }

func engineNumber(name string) uint32 {
	for number, n := range engineNames {
		if n == name {
			return uint32(number)
		}
	}
	return uint32(EngineAuto)
}

// sweepAll removes what dead sandboxes left, and ends supervisors that outlived
// their owner without noticing.
func sweepAll(root *store.Root) {
	defer fault.Recover("sweep")
	root.SweepAll()
	root.KillWedged(control.Ping)
	handle.SweepMetrics(root.Path())
}
