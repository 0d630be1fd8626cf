package escape

import (
	"fmt"
	"os"
)

// keys are shared by the processes of a user, unless the user has none.
func needsKey(w *world) string {
	if !outside(w.probes, "keyring_find", w.key).reached() {
		return "keyrings in the kernel"
	}
	return ""
}

var kernelProbes = []probe{
	{name: "kernel log", args: func(w *world) []string { return []string{"kernel_log", w.secret} }, deny: "(another log|syslog)", missing: func(w *world) string {
		if !w.logged() {
			return "root and a kernel log that can be written"
		}
		return ""
	}},
	openHost("/dev/kmsg", true),
	{name: "host name", args: func(*world) []string { return []string{"kernel_name", host("/proc/sys/kernel/hostname")} }, deny: "another name"},
	{name: "kernel release", args: func(*world) []string { return []string{"kernel_release", host("/proc/sys/kernel/osrelease")} }, deny: "another kernel"},
	{name: "sysrq", args: fixed("kernel_sysrq"), deny: "(open|write|not heard)", missing: needsFile("/proc/sysrq-trigger", true)},
	{name: "setting the host name", args: fixed("kernel_set_name"), deny: "sethostname: EPERM", missing: needsRoot},
	{name: "kernel module", args: fixed("kernel_module"), deny: "init_module: (EPERM|ENOSYS)", missing: needsFile("/proc/modules", true)},
	{name: "io_uring", args: fixed("io_uring"), deny: "io_uring_setup: (ENOSYS|EPERM)", missing: func(w *world) string {
		if value := host("/proc/sys/kernel/io_uring_disabled"); value != "0" {
			return "a kernel with io_uring enabled"
		}
		return ""
	}},
	{name: "userfaultfd", args: fixed("userfaultfd"), deny: "userfaultfd: (ENOSYS|EPERM)"},
	{name: "bpf", args: fixed("bpf"), deny: "bpf: (ENOSYS|EPERM)", missing: needsRoot},
	{name: "perf", args: fixed("perf"), deny: "perf_event_open: (ENOSYS|ENODEV|EPERM)", missing: func(w *world) string {
		if level := host("/proc/sys/kernel/perf_event_paranoid"); level == "" || level > "2" && os.Geteuid() != 0 {
			return "perf events for this user"
		}
		return ""
	}},
	{name: "keyring", args: func(w *world) []string { return []string{"keyring_find", w.key} }, deny: "keyctl: (ENOSYS|EACCES|ENOKEY|EPERM)", missing: needsKey},
	{name: "shared memory", args: func(w *world) []string { return []string{"shm_find", w.shmKey} }, deny: "shmget: ENOENT"},
	{name: "32-bit entry", args: fixed("entry32"), deny: "(signal|no answer)", missing: func(*world) string {
		if _, err := os.Stat("/proc/sys/abi/ldt16"); err != nil && host("/proc/sys/abi/vsyscall32") == "" {
			return "a kernel that runs 32-bit programs"
		}
		return ""
	}},
}

// logged writes a line to the kernel's log.
func (w *world) logged() bool {
	log, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return false
	}
	defer log.Close()
	_, err = fmt.Fprintln(log, w.secret)
	return err == nil && os.Geteuid() == 0
}
