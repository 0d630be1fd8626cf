// Package qemu is the engine that runs the guest in a microVM: a kernel of its own
// behind a hypervisor. QEMU is a child of the supervisor, behind the walls of package
// jail, and dies with it. It is given descriptors only: the kernel, an initramfs with
// the guest agent, images, and one end of a socket to that agent.
//
// There are two engines: "qemu" uses KVM and nothing else, "qemu-tcg" emulates the
// processor in software, some ten times slower, and needs nothing but QEMU.
package qemu
