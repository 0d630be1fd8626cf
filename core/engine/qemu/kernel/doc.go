// Package kernel prepares a distribution's kernel for the microVM engine: the
// uncompressed vmlinux, which QEMU starts directly, and an initramfs with the
// modules that a guest needs, in the order in which they are loaded.
//
// A prepared kernel is a directory of three files, named by a hash of all that it
// was made from:
//
//	vmlinux        ELF, as QEMU's -kernel takes it
//	modules.cpio   uncompressed cpio (newc): /modules/load, a list of file names in
//	               load order, one a line; the modules beside it, without signatures;
//	               /dev/console
//	kernel.json    Info
//
// Signatures are stripped since checking them costs a guest under software emulation
// 100 ms; what they guard against, a module from elsewhere, cannot happen to an
// archive that the host made. The archive is not compressed: the guest would have to
// inflate it.
package kernel
