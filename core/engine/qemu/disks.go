package qemu

import (
	"fmt"
	"os"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core/engine/qemu/jail"
)

// disk is a block device of the guest. The guest finds it by its serial number.
type disk struct {
	serial   string
	file     *os.File // open for reading, and for writing unless readOnly
	format   string   // "raw" or "qcow2"
	readOnly bool
}

// files are the descriptors that QEMU inherits, in order.
type files []*os.File

// add returns the number that a file has in QEMU.
func (f *files) add(file *os.File) int {
	*f = append(*f, file)
	return jail.FirstFD + len(*f) - 1
}

// diskArgs are the options of the disk number n.
func diskArgs(inherit *files, n int, d disk) []string {
	fd, set := inherit.add(d.file), n+1
	ro := ""
	if d.readOnly {
		ro = ",read-only=on"
	}
	// The locks are the supervisor's: those of QEMU would be lost with its descriptor.
	return []string{
		"-add-fd", fmt.Sprintf("fd=%d,set=%d", fd, set),
		"-blockdev", fmt.Sprintf("driver=file,node-name=f%d,filename=/dev/fdset/%d,locking=off%s", n, set, ro),
		"-blockdev", fmt.Sprintf("driver=%s,node-name=d%d,file=f%d%s", d.format, n, n, ro) + discard(d),
		"-device", fmt.Sprintf("virtio-blk-device,drive=d%d,serial=%s", n, d.serial),
	}
}

func discard(d disk) string {
	if d.readOnly {
		return ""
	}
	return ",discard=unmap"
}

// kernelArguments is the guest's command line.
func kernelArguments(kvm bool) string {
	args := []string{
		"console=ttyS0", "quiet", "reboot=t", "panic=-1", "oops=panic", "sysctl.vm.panic_on_oom=1",
		// The tests of the kernel's ciphers take 200 ms under software emulation.
		"cryptomgr.notests",
	}
	if !kvm {
		args = append(args, fmt.Sprintf("tsc_early_khz=%d", tscKHz()), "tsc=reliable", "noreplace-smp")
	}
	return strings.Join(args, " ")
}
