package escape

import (
	"fmt"
	"os"
)

func onVictim(name string, more ...func(v victim) string) func(*world) []string {
	return func(w *world) []string {
		args := []string{name, w.victim.pid}
		for _, m := range more {
			args = append(args, m(w.victim))
		}
		return append(args, w.secret)
	}
}

func address(v victim) string    { return v.address }
func descriptor(v victim) string { return v.fd }

var processProbes = []probe{
	{name: "signal", args: onVictim("process_signal"), deny: "kill: ESRCH"},
	{name: "ptrace", args: onVictim("process_trace"), deny: "ptrace: ESRCH"},
	{name: "process_vm_readv", args: onVictim("process_read", address), deny: "process_vm_readv: (ESRCH|ENOSYS|EPERM)"},
	{name: "memory in /proc", args: onVictim("process_mem", address), deny: "open: ENOENT"},
	{name: "pidfd_getfd", args: onVictim("process_pidfd", descriptor), deny: "pidfd_open: (ENOSYS|ESRCH)"},
	{name: "environment in /proc", args: readSecret(func(w *world) string { return "/proc/" + w.victim.pid + "/environ" }), deny: "read: ENOENT"},
	{name: "root in /proc", args: readSecret(func(w *world) string { return "/proc/" + w.victim.pid + "/root" + at(w.dir, "secret") }),
		deny: "read: ENOENT"},
	{name: "root of pid 1 in /proc", args: readSecret(func(w *world) string { return "/proc/1/root" + at(w.dir, "secret") }),
		deny: "read: (ENOENT|EACCES|EPERM)", missing: func(*world) string {
			if _, err := os.Stat("/proc/1/root/"); err != nil {
				return "the right to look into pid 1"
			}
			return ""
		}},
	{name: "namespace in /proc", args: onVictim("process_namespace"), deny: "open: ENOENT"},
	{name: "the test itself in /proc", args: func(w *world) []string {
		return []string{"file_open", fmt.Sprintf("/proc/%d/maps", os.Getpid())}
	}, deny: "open: ENOENT"},
}

var inheritProbes = []probe{
	{name: "planted descriptor", args: fixed("descriptors"), deny: "0 to 2 alone"},
	{name: "environment", args: func(w *world) []string { return []string{"environment", w.secret} }, deny: "nowhere"},
}
