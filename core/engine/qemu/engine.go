package qemu

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/guest"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/idmap"
	"github.com/libmicrosandbox/microsandbox/core/engine/qemu/jail"
	"github.com/libmicrosandbox/microsandbox/core/engine/qemu/kernel"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// New returns the engine that uses KVM.
func New() engine.Engine { return withKVM{sandboxer{kvm: true}} }

// NewTCG returns the engine that emulates the processor.
func NewTCG() engine.Engine { return emulated{} }

type withKVM struct{ sandboxer }

// Usable is an engine.Chooser's.
func (e withKVM) Usable(ctx context.Context, cfg engine.Config) error {
	if err := e.Supports(cfg); err != nil {
		return err
	}
	if err := kvmAccess(); err != nil {
		return err
	}
	h, err := e.findHost(cfg)
	if err != nil {
		return err
	}
	return h.needKVM(ctx, cfg)
}

type emulated struct{ sandboxer }

// ByNameOnly marks an engine that nobody gets who has not asked for it.
func (emulated) ByNameOnly() {}

type sandboxer struct{ kvm bool }

func (e sandboxer) Name() string {
	if e.kvm {
		return "qemu"
	}
	return "qemu-tcg"
}

func (e sandboxer) Boot(ctx context.Context, cfg engine.Config) (engine.Machine, error) {
	if err := e.Supports(cfg); err != nil {
		return nil, err
	}
	h, err := e.findHost(cfg)
	if err != nil {
		return nil, err
	}
	if e.kvm {
		if err := h.needKVM(ctx, cfg); err != nil {
			return nil, err
		}
	}
	return h.boot(ctx, cfg)
}

// host is what a machine needs of the host.
type host struct {
	name   string // the engine's
	kvm    bool
	binary string
	kernel *kernel.Kernel
	ids    idmap.Map
}

func (e sandboxer) findHost(cfg engine.Config) (*host, error) {
	h := &host{name: e.Name(), kvm: e.kvm}
	var err error
	if h.binary, err = findBinary(); err != nil {
		return nil, err
	}
	if h.kernel, err = kernel.Find(cfg.KernelPath, cfg.Kernels); err != nil {
		return nil, err
	}
	src, err := idmap.Host()
	if err != nil {
		return nil, fault.Wrap(err, fault.Setup, fault.StageEngine, "user namespace")
	}
	h.ids, err = idmap.Choose(src, cfg.ID)
	return h, err
}

// boot starts QEMU and waits until the guest is ready for programs.
func (h *host) boot(ctx context.Context, cfg engine.Config) (engine.Machine, error) {
	disks, err := cfgDisks(cfg)
	if err != nil {
		return nil, err
	}
	m, err := h.start(cfg.MemoryBytes, disks.list, cfg.Log)
	if err != nil {
		return nil, err
	}
	err = m.configure(ctx, disks.config(cfg))
	if err != nil {
		m.Close()
		return nil, m.bootError(ctx, err)
	}
	m.receipt = h.receipt(cfg, m.kernelRelease, disks.upper != nil)
	m.writes = disks.writable()
	return m, nil
}

// start starts QEMU.
func (h *host) start(memory uint64, disks []disk, log func(string, ...any)) (*machine, error) {
	p := plan{kvm: h.kvm, memoryBytes: memory, disks: disks}
	var opened []*os.File
	defer func() { closeAll(opened) }()
	keep := func(f *os.File) *os.File {
		opened = append(opened, f)
		return f
	}
	var err error
	if p.vmlinux, err = os.Open(h.kernel.Vmlinux()); err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "guest kernel")
	}
	keep(p.vmlinux)
	if p.initramfs, err = h.initramfs(); err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "initramfs")
	}
	keep(p.initramfs)
	port, guestPort, err := pair("agent port")
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "engine "+h.name)
	}
	p.port = keep(guestPort)
	console, guestConsole, err := pair("console")
	if err != nil {
		port.Close()
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "engine "+h.name)
	}
	p.console = keep(guestConsole)
	said, stderr, err := os.Pipe()
	if err != nil {
		port.Close()
		console.Close()
		return nil, fault.Wrap(err, fault.IO, fault.StageEngine, "engine "+h.name)
	}
	keep(stderr)
	cmd, err := h.spawn(p, stderr)
	if err != nil {
		port.Close()
		console.Close()
		said.Close()
		return nil, err
	}
	return newMachine(h.name, cmd, port, console, said, log), nil
}

// spawn starts QEMU in its jail.
func (h *host) spawn(p plan, stderr *os.File) (*exec.Cmd, error) {
	args, inherit := p.arguments()
	devices := map[string]int{}
	if h.kvm {
		device, err := kvmDevice(h.ids)
		if err != nil {
			return nil, fault.Wrap(err, fault.Setup, fault.StageEngine, "engine qemu: /dev/kvm")
		}
		devices[kvmPath] = -1
		if device != nil {
			defer device.Close()
			devices[kvmPath] = inherit.add(device) - jail.FirstFD
		}
	}
	cmd, err := jail.Start(jail.Program{
		Path: h.binary, Args: append([]string{"qemu-system-x86_64"}, args...), Files: inherit, Devices: devices,
		Stderr: stderr, IDs: h.ids, Limits: limits(p),
	})
	if err != nil {
		e := fault.Wrap(err, fault.Setup, fault.StageEngine, "engine "+h.name)
		if e.Errno == unix.EPERM || e.Errno == unix.ENOSPC || e.Errno == unix.EACCES {
			e.Code = fault.Setup
			e.Message += "; are user namespaces blocked?  msb doctor  tells more"
		}
		return nil, e
	}
	return cmd, nil
}

// overhead is what QEMU may map beside the guest's memory: translated code (1 GiB of
// address space at most), the kernel's file, its own code and threads.
const overhead = 3 << 30

// limits are QEMU's own. It writes to files only where a disk is writable.
func limits(p plan) []jail.Limit {
	list := []jail.Limit{
		{Resource: unix.RLIMIT_CORE, Value: 0}, {Resource: unix.RLIMIT_NOFILE, Value: 256},
		{Resource: unix.RLIMIT_AS, Value: p.memoryBytes + overhead}, {Resource: unix.RLIMIT_MEMLOCK, Value: 0},
	}
	for _, d := range p.disks {
		if !d.readOnly {
			return list
		}
	}
	return append(list, jail.Limit{Resource: unix.RLIMIT_FSIZE, Value: 0})
}

// initramfs is the kernel's modules and the guest agent, in memory: two archives, one
// after the other.
func (h *host) initramfs() (*os.File, error) {
	modules, err := os.Open(h.kernel.Modules())
	if err != nil {
		return nil, err
	}
	defer modules.Close()
	fd, err := unix.MemfdCreate("initramfs", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "initramfs")
	if _, err = io.Copy(f, modules); err == nil {
		_, err = f.Write(agentArchive())
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// agentArchive holds the guest's pid 1.
func agentArchive() []byte {
	var a kernel.Archive
	a.File("init", 0o755, guest.Agent)
	return a.Bytes()
}

func closeAll(list []*os.File) {
	for _, f := range list {
		f.Close()
	}
}

func (h *host) receipt(cfg engine.Config, release string, disk bool) []string {
	overlay := fmt.Sprintf("overlay: at most %d bytes (size of the in-memory upper layer)", cfg.OverlayBytes)
	if disk {
		overlay = "overlay: the size of the disk that takes the changes to the root"
	}
	accel := "KVM"
	if !h.kvm {
		accel = "software emulation (TCG)"
	}
	return []string{
		fmt.Sprintf("kernel: Linux %s of its own in a microVM, %s", release, accel),
		"hypervisor: QEMU in its seccomp sandbox, no capabilities, no new privileges, own namespaces, read-only /usr alone",
		"ids: QEMU in a " + h.ids.Note,
		"network: none but loopback",
		fmt.Sprintf("memory: at most %d bytes (the guest's memory); beside it QEMU's own, some 60 MiB", cfg.MemoryBytes),
		limitsNote(cfg.Limits),
		"programs: killed with all that they started (guest agent), resource limits (guest's kernel); wall limits (supervisor)",
		overlay,
	}
}
