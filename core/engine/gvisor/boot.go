package gvisor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
)

// boot is one machine on its way: its sentry is started already, and gets its orders;
// the gofer is started where one is needed, and both find each other.
type boot struct {
	cfg      engine.Config
	paths    paths
	root     *rootFS
	ids      idMap
	launcher *os.File
	lineage  *lineageSetup
	options  []string // gVisor's
	logs     engineLogs

	spec     []byte // the specification as JSON
	children children
	state    *os.File // directory of the control socket
	rpc      *rpcPool
}

// run returns once the guest's pid 1 runs, or nothing is left of the boot.
func (b *boot) run(ctx context.Context, sentry *attending) error {
	stop := context.AfterFunc(ctx, b.children.kill)
	err := b.give(sentry)
	if err == nil {
		err = b.startRoot(ctx)
	}
	failpoint.Mark("engine.started")
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		b.children.end()
		if b.rpc != nil {
			b.rpc.close()
		}
	}
	return err
}

// give starts the gofer and gives the sentry its orders.
func (b *boot) give(sentry *attending) error {
	given := false
	defer func() {
		if !given {
			sentry.abandon()
		}
	}()
	defer closeAll([]*os.File{sentry.ring}) // after the gofer has it
	spec := b.root.spec(b.ids, b.cfg.OverlayBytes)
	var err error
	if b.spec, err = json.Marshal(spec); err != nil {
		return err
	}
	orders := &command{}
	defer orders.close()
	confs := mountConfs(spec, b.cfg.OverlayBytes)
	ends := &goferEnds{}
	defer func() { ends.close() }()
	var gofer <-chan error
	if countServed(confs) > 0 {
		if ends, gofer, err = b.goGofer(sentry.ring, confs, orders); err != nil {
			return err
		}
	}
	err = b.order(orders, spec, confs, ends, sentry.ring != nil)
	failpoint.Mark("engine.prepared")
	if err == nil {
		given = true
		err = sentry.give(&b.children, wire.Orders{Args: orders.args, CPU: askCPU()}, orders.files)
	}
	if gofer == nil {
		return err
	}
	if goferErr := <-gofer; err == nil {
		err = goferErr
	}
	if err != nil {
		return err
	}
	requests := ends.requests
	ends.requests = nil
	go serveSources(requests, b.children.gofer, sources(spec))
	return ends.tellSentry(b.children.sentry)
}

// goGofer starts the gofer beside what follows. The channel gives the start's result.
func (b *boot) goGofer(ring *os.File, confs []string, sentry *command) (*goferEnds, <-chan error, error) {
	file, err := memfile("spec", b.spec)
	if err != nil {
		return &goferEnds{}, nil, err
	}
	c, ends, err := goferCommand(b.cfg.ID, b.options, b.logs, file, ring, confs, sentry)
	c.own = append(c.own, file)
	if err != nil {
		c.close()
		return ends, nil, err
	}
	done := make(chan error, 1)
	go func() {
		defer c.close()
		pid, err := startGofer(c, b.ids, b.root.donated)
		if err == nil {
			b.children.add(&b.children.gofer, pid)
		}
		done <- err
	}()
	return ends, done, nil
}

// order writes the sentry's command line.
func (b *boot) order(c *command, spec *ociSpec, confs []string, ends *goferEnds, ring bool) error {
	c.add(b.options...)
	if err := b.logs.addTo(c, "boot"); err != nil {
		return err
	}
	memory := fmt.Sprint(b.cfg.MemoryBytes)
	c.add("boot", "--bundle="+noBundle, "--gofer-mount-confs="+joinConfs(confs),
		"--apply-caps=true", "--setup-root", "--attached",
		// What the guest's /proc/meminfo shows: many programs size their heaps by it. File
		// systems in memory take as many inodes as Linux would allow with so much memory:
		// one for each two pages.
		"--total-host-memory="+memory, "--total-memory="+memory)
	if err := c.addFiles(spec); err != nil {
		return err
	}
	if ends.mounts != nil {
		c.donate("mounts-fd", ends.mounts)
	}
	if ring {
		c.add(fmt.Sprintf("--pin-ring-fd=%d", wire.RingFD))
	}
	booted, err := os.OpenFile(os.DevNull, os.O_RDWR, 0) // the answer to startRoot says it
	if err != nil {
		return err
	}
	c.give("start-sync-fd", booted)
	control, err := b.listen()
	if err != nil {
		return err
	}
	c.give("controller-fd", control)
	file, err := memfile("spec", b.spec) // one for each process: they move its offset
	if err != nil {
		return err
	}
	c.give("spec-fd", file)
	c.donate("pod-init-config-fd", b.lineage.config)
	c.donate("sink-fds", b.lineage.theirs)
	for range 3 {
		c.donate("stdio-fds", booted) // of pid 1: /dev/null
	}
	c.donate("exec-fd", b.launcher)
	c.add(b.cfg.ID)
	return nil
}

// listen makes the control socket. Connections wait in it until the sentry has
// booted: gVisor takes it over, and listens again, which changes nothing.
func (b *boot) listen() (*os.File, error) {
	var err error
	if b.state, err = os.Open(b.paths.dir); err != nil {
		return nil, err
	}
	address := controlAddress(b.state, b.cfg.ID)
	b.rpc = &rpcPool{address: address}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "control")
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: address}); err == nil {
		err = unix.Listen(fd, 1)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("make the control socket: %w", err)
	}
	return f, nil
}

// controlAddress is short, however long the directory's path.
func controlAddress(dir *os.File, id string) string {
	return fmt.Sprintf("/proc/self/fd/%d/runsc-%s.sock", dir.Fd(), id)
}

// startRoot asks for the root container. The call waits until the sentry is there, and
// fails at once when it is gone.
func (b *boot) startRoot(ctx context.Context) error {
	if _, err := b.rpc.call(ctx, methodNetwork, loopback(), nil); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if _, err := b.rpc.call(ctx, methodStart, b.cfg.ID, nil); err != nil {
		return fmt.Errorf("starting root container: %w", err)
	}
	return nil
}

// noBundle is where gVisor would look for relative paths. There are none.
const noBundle = "/"

// sources are what the gofer may ask for.
func sources(spec *ociSpec) (all []string) {
	for _, m := range spec.Mounts {
		if m.Type == "bind" && !wire.IsBindSource(m.Source) {
			all = append(all, m.Source)
		}
	}
	return all
}
