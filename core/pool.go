package core

import (
	"context"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
	"github.com/libmicrosandbox/microsandbox/core/pool"
)

// PoolOptions describe a pool of sandboxes.
type PoolOptions struct {
	Sandbox    Options       // what all of them have in common
	Size       int           // sandboxes to have ready; 0: one
	Idle       int           // of these, to keep while nobody takes one
	Max        int           // sandboxes that live at a time, taken ones too; 0: any number
	Boots      int           // boots at a time; 0: one for each CPU, at least two
	IdleShrink time.Duration // nobody has taken one for that long; 0: never shrink
}

// TakeOptions describe what depends on who takes a sandbox.
type TakeOptions struct {
	Name         string   // generated when empty
	Labels       []string // besides the pool's
	Detached     bool
	Replace      bool
	ReplaceGrace time.Duration
	IdleTimeout  time.Duration // 0: the pool's; negative: none
	MaxDuration  time.Duration // 0: the pool's; negative: none
	Timeout      time.Duration // for the take
}

// PoolInfo is what a pool has and has done.
type PoolInfo = pool.Info

// Limits and pauses of pools.
const (
	MaxPool     = 1024
	refillDelay = 20 * time.Millisecond
	firstRetry  = 100 * time.Millisecond
	lastRetry   = 30 * time.Second
)

// Pool keeps sandboxes booted for whoever takes one. Safe for concurrent use.
type Pool struct {
	members *pool.Pool[*handle.Sandbox]
	cfg     control.Config // of each member, without what is its own
	path    string         // of msb
	done    chan struct{}
}

// NewPool validates the options and returns at once with a pool that fills itself.
func NewPool(o PoolOptions) (*Pool, error) {
	if o.Size == 0 {
		o.Size = 1
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	cfg, err := o.Sandbox.config()
	if err != nil {
		return nil, err
	}
	p := &Pool{cfg: cfg, done: make(chan struct{})}
	if p.path, err = launch.Find(o.Sandbox.MsbPath, o.Sandbox.LibraryDir); err != nil {
		return nil, err
	}
	if err := openMounts(&p.cfg, o.Sandbox.Mounts); err != nil {
		return nil, err
	}
	if o.Boots == 0 {
		o.Boots = max(2, runtime.NumCPU())
	}
	p.cfg.OwnerPid, p.cfg.Pooled = os.Getpid(), true
	p.members = pool.New(pool.Options{
		Size: o.Size, Idle: o.Idle, Max: o.Max, Boots: o.Boots, Shrink: o.IdleShrink, Delay: refillDelay,
		First: firstRetry, Longest: lastRetry,
	}, p.boot)
	fault.Go("pool", func() {
		<-p.members.Done()
		closeAll(p.cfg.MountFiles)
		close(p.done)
	})
	return p, nil
}

func (o PoolOptions) check() error {
	if err := checkSize("size", o.Size); err != nil {
		return err
	}
	if o.Idle < 0 || o.Idle > o.Size {
		return invalid("idle_size %d: between 0 and pool_size, %d", o.Idle, o.Size)
	}
	if o.Max < 0 || o.Max > 0 && o.Max < max(o.Size, 1) {
		return invalid("max_sandboxes %d: 0 for any number, else at least pool_size, %d", o.Max, o.Size)
	}
	if o.Boots < 0 || o.Boots > MaxPool {
		return invalid("max_boots %d: at most %d", o.Boots, MaxPool)
	}
	if _, err := timeout("idle_shrink_ms", o.IdleShrink, 0); err != nil {
		return err
	}
	s := o.Sandbox
	switch {
	case s.Name != "":
		return invalid("sandbox.name %q: a pool's sandboxes get their names when they are taken", s.Name)
	case s.Stored:
		return invalid("sandbox.flags: a pool's sandboxes cannot be stored, as a stored one has its name from the start: create it")
	case s.Detached || s.Replace:
		return invalid("sandbox.flags: DETACHED and REPLACE are given when a sandbox is taken")
	}
	for _, m := range s.Mounts {
		if m.Kind == mounts.Disk && !m.ReadOnly {
			return invalid("sandbox.mounts: disk %q: a pool's sandboxes share their mounts, and a disk that is written has one user: mount it read-only", m.Source)
		}
	}
	return nil
}

func checkSize(what string, n int) error {
	if n < 0 || n > MaxPool {
		return invalid("pool_%s %d: at most %d", what, n, MaxPool)
	}
	return nil
}

// boot starts one member. The sources of mounts were opened once: each has copies.
func (p *Pool) boot() (*handle.Sandbox, error) {
	cfg := p.cfg
	var err error
	if cfg.ID, err = randomHex(12); err != nil {
		return nil, err
	}
	cfg.Name = "msb-pool-" + cfg.ID[:12]
	if cfg.MountFiles, err = copyFiles(p.cfg.MountFiles); err != nil {
		return nil, err
	}
	return handle.Start(p.path, cfg, cfg.BootTimeout, nil, nil, nil), nil
}

func copyFiles(files []*os.File) ([]*os.File, error) {
	var own []*os.File
	for _, f := range files {
		c, err := copyFile(f)
		if err != nil {
			closeAll(own)
			return nil, fault.Wrap(err, fault.IO, fault.StageLaunch, "copy mount "+f.Name())
		}
		own = append(own, c)
	}
	return own, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Take returns at once a sandbox in state starting, which is one of the pool's as soon
// as one is ready. It is an ordinary one from then on.
func (p *Pool) Take(o TakeOptions) (*Sandbox, error) {
	cfg := p.cfg
	limit, err := o.apply(&cfg)
	if err != nil {
		return nil, err
	}
	var prepare func(context.Context) error
	if o.Replace {
		grace := o.ReplaceGrace
		if grace == 0 {
			grace = DefaultReplace
		}
		prepare = func(ctx context.Context) error { return clear(ctx, cfg, max(grace, 0)) }
	}
	return &Sandbox{handle.Take(cfg, limit, prepare, p.members)}, nil
}

// apply makes cfg what the one who takes wants.
func (o TakeOptions) apply(cfg *control.Config) (limit time.Duration, err error) {
	if cfg.ID, err = randomHex(12); err != nil {
		return 0, err
	}
	cfg.Name, cfg.Detached = o.Name, o.Detached
	if o.Name == "" {
		cfg.Name = "msb-" + cfg.ID[:12]
	}
	if err := CheckName(cfg.Name); err != nil {
		return 0, err
	}
	if o.Name == "" && o.Replace {
		return 0, invalid("name: needed to replace a sandbox")
	}
	cfg.Labels = slices.Concat(cfg.Labels, o.Labels)
	if err := CheckLabels(cfg.Labels); err != nil {
		return 0, err
	}
	for what, t := range map[string]struct {
		asked time.Duration
		own   *time.Duration
	}{"idle_timeout_ms": {o.IdleTimeout, &cfg.IdleTimeout}, "max_duration_ms": {o.MaxDuration, &cfg.MaxDuration}} {
		if *t.own, err = timeout(what, max(t.asked, 0), *t.own); err != nil {
			return 0, err
		}
		if t.asked < 0 {
			*t.own = 0
		}
	}
	return timeout("take_timeout_ms", o.Timeout, DefaultStart)
}

// Resize sets how many sandboxes to have ready.
func (p *Pool) Resize(size int) error {
	if err := checkSize("size", size); err != nil {
		return err
	}
	return p.members.Resize(size)
}

// Info tells what the pool has and has done.
func (p *Pool) Info() PoolInfo { return p.members.Info() }

// Ready is closed once the pool was full for the first time, or a boot has failed.
func (p *Pool) Ready() <-chan struct{} { return p.members.Ready() }

// StartErr is why the pool could not be filled; valid once Ready is closed.
func (p *Pool) StartErr() error { return p.members.StartErr() }

// Done is closed once the pool was closed and nothing is left of what nobody took.
func (p *Pool) Done() <-chan struct{} { return p.done }

// Close ends the sandboxes that nobody has taken. Those that were taken live on.
func (p *Pool) Close() { p.members.Close() }
