package escape

import (
	"os"
	"path/filepath"
	"strings"
)

// at builds the path of something in a place that may be missing.
func at(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// readSecret reads a file with the secret.
func readSecret(path func(w *world) string) func(*world) []string {
	return func(w *world) []string {
		if path(w) == "" {
			return nil
		}
		return []string{"file_read", path(w), w.secret}
	}
}

var fileProbes = []probe{
	{name: "file in a temporary directory", args: readSecret(func(w *world) string { return at(w.dir, "secret") }), deny: "read: ENOENT"},
	{name: "file by climbing", args: func(w *world) []string { return []string{"file_climb", at(w.dir, "secret"), w.secret} },
		deny: "read: ENOENT"},
	{name: "file in the home directory", args: readSecret(func(w *world) string { return at(w.home, "secret") }), deny: "read: (ENOENT|EACCES)",
		missing: func(w *world) string {
			if w.home == "" {
				return "a writable home directory"
			}
			return ""
		}},
	{name: "file in /var", args: readSecret(func(w *world) string { return at(w.varTmp, "secret") }), deny: "read: ENOENT"},
	{name: "file in /dev/shm", args: readSecret(func(w *world) string { return w.shm }), deny: "read: ENOENT"},
	{name: "directory listing", args: func(w *world) []string {
		return []string{"file_list", filepath.Dir(w.dir), filepath.Base(w.dir)}
	}, deny: "(opendir: ENOENT|not listed)"},
	{name: "/etc/shadow", args: fixed("file_open", "/etc/shadow"), deny: "open: ENOENT", missing: needsFile("/etc/shadow", true)},
	{name: "/etc/resolv.conf", args: fixed("file_open", "/etc/resolv.conf"), deny: "open: ENOENT", missing: needsFile("/etc/resolv.conf", false)},
	{name: "/var/lib", args: fixed("file_open", "/var/lib"), deny: "open: ENOENT"},
	{name: "writing a file", args: func(w *world) []string { return []string{"file_write", at(w.dir, "secret")} }, deny: "open: ENOENT"},
	{name: "open by handle", args: fixed("file_handle", "/"), deny: "name_to_handle_at: (ENOSYS|EOPNOTSUPP)", missing: needsRoot},
}

// host is a value of the host that a guest must not see.
func host(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}

// readHost reads a file that has the host's value in it.
func readHost(path string) func(*world) []string {
	return func(*world) []string { return []string{"file_read", path, host(path)} }
}

// rootSource is the file system below the host's root directory, as in mountinfo.
func rootSource() string {
	for line := range strings.Lines(host("/proc/self/mountinfo")) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == "/" {
			_, after, _ := strings.Cut(line, " - ")
			return " - " + strings.TrimSpace(after)
		}
	}
	return ""
}

// first is the first file that matches, else the pattern, which then is missing.
func first(pattern string) string {
	matches, _ := filepath.Glob(pattern)
	for _, m := range matches {
		if filepath.Base(m) != "lo" {
			return m
		}
	}
	return pattern
}

// rewrite writes back what a file of the host says.
func rewrite(path string) probe {
	return probe{name: path, args: fixed("file_rewrite", path), deny: "(open|write): (ENOENT|EACCES|EROFS|EPERM|EIO)", missing: needsFile(path, true)}
}

// openHost opens a file of the host's kernel for reading.
func openHost(path string, root bool) probe {
	return probe{name: path, args: fixed("file_open", path), deny: "open: (ENOENT|EACCES)", missing: needsFile(path, root)}
}

// named gives a probe whose path depends on the machine a name that does not.
func named(name string, p probe) probe {
	p.name = name
	return p
}

var procProbes = []probe{
	{name: "boot id", args: readHost("/proc/sys/kernel/random/boot_id"), deny: "read"},
	{name: "kernel command line", args: readHost("/proc/cmdline"), deny: "read"},
	{name: "mounts of the host", args: func(*world) []string { return []string{"file_read", "/proc/self/mountinfo", rootSource()} }, deny: "read"},
	{name: "unix sockets in /proc", args: func(w *world) []string { return []string{"file_read", "/proc/net/unix", w.name} }, deny: "read"},
	{name: "kernel symbols", args: fixed("file_read", "/proc/kallsyms", "commit_creds"), deny: "read", missing: needsFile("/proc/kallsyms", false)},
	openHost("/proc/kcore", true),
	openHost("/proc/kpagecount", true),
	openHost("/proc/partitions", false),
	openHost("/proc/keys", false),
	named("network interfaces in /sys", openHost(first("/sys/class/net/*"), false)),
	named("disks in /sys", openHost(first("/sys/block/*"), false)),
	openHost("/sys/kernel/debug", true),
	openHost("/sys/fs/cgroup/unified", false),
	rewrite("/proc/sys/kernel/core_pattern"),
	rewrite("/proc/sys/kernel/modprobe"),
	rewrite("/proc/sys/kernel/hostname"),
	rewrite("/proc/sys/vm/overcommit_memory"),
	rewrite("/sys/kernel/uevent_helper"),
	named("release_agent", rewrite(first("/sys/fs/cgroup/*/release_agent"))),
}
