package qemu

import (
	"fmt"
	"os"
)

// plan is what QEMU is started with.
type plan struct {
	kvm         bool
	memoryBytes uint64
	vmlinux     *os.File
	initramfs   *os.File
	port        *os.File // to the agent
	console     *os.File // what the guest's kernel says
	disks       []disk
}

// maxDisks is how many disks a machine can have: a microVM has 24 places for devices,
// of which the port and the balloon take two.
const maxDisks = 20

// arguments returns QEMU's command line without its name, and what it inherits.
func (p plan) arguments() ([]string, files) {
	var inherit files
	// Emulated, the guest's fastest string moves are slower than plain loops, and the
	// old timers cost an interrupt for nothing.
	machine, accel, cpu := "microvm,pit=off,pic=off", "tcg", "max,erms=off,fsrm=off,la57=off"
	// Emulated, a notification of the guest is served by the thread that is here already;
	// with KVM, by QEMU's main loop while the guest goes on.
	notify := "off"
	if p.kvm {
		machine, accel, cpu, notify = "microvm", "kvm", "host", "on"
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-name", "msb",
		"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
		"-M", machine, "-accel", accel, "-cpu", cpu, "-smp", "1",
		"-m", fmt.Sprintf("%dM", p.memoryBytes>>20),
		"-global", "virtio-mmio.force-legacy=false", "-global", "virtio-mmio.ioeventfd=" + notify,
		"-kernel", fmt.Sprintf("/proc/self/fd/%d", inherit.add(p.vmlinux)),
		"-initrd", fmt.Sprintf("/proc/self/fd/%d", inherit.add(p.initramfs)),
		"-append", kernelArguments(p.kvm),
		"-chardev", fmt.Sprintf("socket,id=console,fd=%d", inherit.add(p.console)), "-serial", "chardev:console",
		"-chardev", fmt.Sprintf("socket,id=agent,fd=%d", inherit.add(p.port)),
		"-device", "virtio-serial-device,max_ports=2", "-device", "virtserialport,chardev=agent,name=agent",
		"-device", "virtio-balloon-device,free-page-reporting=on",
	}
	for n, d := range p.disks {
		args = append(args, diskArgs(&inherit, n, d)...)
	}
	return args, inherit
}
