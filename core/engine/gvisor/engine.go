// Package gvisor is the engine that runs the guest on gVisor: a kernel in user
// space (the sentry), which needs neither KVM nor root. The sentry is a child
// of the supervisor and dies with it; so does the gofer, the process that
// serves directories of the host to it. Both are re-executions of the
// supervisor's binary: see Main.
package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/guest"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// New returns the engine. A process boots at most one machine at a time.
func New() engine.Engine { return sandboxer{} }

type sandboxer struct {
	flags map[string]string // more gVisor options; for tests
}

func (sandboxer) Name() string { return "gvisor" }

// bootLock serialises boots: while gVisor starts its processes, this process's
// standard streams are replaced.
var bootLock sync.Mutex

func (s sandboxer) Boot(ctx context.Context, cfg engine.Config) (engine.Machine, error) {
	if !filepath.IsAbs(cfg.Dir) || cfg.ID == "" || cfg.MemoryBytes == 0 || cfg.OverlayBytes == 0 {
		return nil, fault.New(fault.Internal, fault.StageEngine, "gvisor: incomplete configuration")
	}
	if err := ctx.Err(); err != nil {
		return nil, ended(ctx)
	}
	silence()
	src, err := hostIDs()
	if err != nil {
		return nil, fault.Wrap(err, fault.Setup, fault.StageEngine, "user namespace")
	}
	ids, err := chooseIDs(src, cfg.ID)
	if err != nil {
		return nil, err
	}
	p, err := newPaths(cfg.Dir)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "gvisor: state directory")
	}
	root, err := prepareRoot(cfg, p, ids)
	if err != nil {
		return nil, err
	}
	defer root.close()
	return s.start(ctx, cfg, p, root, ids)
}

func (s sandboxer) start(ctx context.Context, cfg engine.Config, p paths, root *rootFS, ids idMap) (engine.Machine, error) {
	conf, err := p.configure(cfg.OverlayBytes, s.flags)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, fault.StageEngine, "gvisor")
	}
	spec := root.spec(ids, cfg.MemoryBytes, cfg.OverlayBytes)
	if err := writeSpec(p.bundle, spec); err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "gvisor: write the specification")
	}
	launcher, err := memfile("launcher", guest.Launcher)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "gvisor: launcher")
	}
	lineage, err := newLineageLink(cfg.Limits)
	if err != nil {
		launcher.Close()
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "gvisor: lineage")
	}
	conf.PodInitConfig = lineage.path()
	c, err := bootContainer(ctx, cfg.ID, p, conf, spec, launcher)
	lineage.close()
	if err == nil && filepath.Dir(c.Sandbox.ControlSocketPath) != p.state {
		// gVisor tries /run and /tmp where it cannot make the socket.
		c.Destroy()
		err = fmt.Errorf("no control socket in %q: is the file system full?", p.state)
	}
	if err != nil {
		launcher.Close()
		lineage.link.close()
		return nil, bootError(ctx, p, err)
	}
	m, err := newMachine(ctx, cfg, p, root, ids, c, launcher, lineage.link)
	if err != nil {
		return nil, bootError(ctx, p, err)
	}
	return m, nil
}

// bootContainer lets gVisor start its processes and the guest's pid 1.
func bootContainer(ctx context.Context, id string, p paths, conf *config.Config, spec *specs.Spec,
	launcher *os.File) (*container.Container, error) {
	bootLock.Lock()
	defer bootLock.Unlock()
	restore, err := nullStdio()
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "gvisor: /dev/null")
	}
	defer restore()

	// gVisor's calls cannot be cancelled, but end when their children do.
	stop := context.AfterFunc(ctx, func() { killChildren(id) })
	failpoint.Mark("engine.prepared")
	root := startRoot(id, p, conf, spec)
	c, err := container.New(conf, container.Args{
		ID: id, Spec: spec, BundleDir: p.bundle, Attached: true, ExecFile: launcher,
	})
	failpoint.Mark("engine.created")
	if rootErr := root.wait(err == nil); err == nil && rootErr != nil {
		c.Destroy()
		err = rootErr
	}
	failpoint.Mark("engine.started")
	if !stop() && err == nil {
		c.Destroy()
		err = ctx.Err()
	}
	return c, err
}

// ended is the error for a context that is over.
func ended(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.TimedOut, fault.StageEngine, "gvisor: the boot took longer than its time limit")
	}
	return fault.New(fault.Canceled, fault.StageEngine, "gvisor: the boot was canceled")
}

// nullStdio makes gVisor see /dev/null as this process's standard streams: it
// hands them to the guest's pid 1 and changes their owner.
func nullStdio() (restore func(), err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	in, out, errOut := os.Stdin, os.Stdout, os.Stderr
	os.Stdin, os.Stdout, os.Stderr = null, null, null
	return func() {
		os.Stdin, os.Stdout, os.Stderr = in, out, errOut
		null.Close()
	}, nil
}
