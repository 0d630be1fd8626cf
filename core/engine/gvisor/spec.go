package gvisor

import "fmt"

// guestCaps are the capabilities of the guest's programs, as the header lists
// them. All are virtual: the sentry interprets them, the host knows none.
var guestCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_SETFCAP",
}

// spec returns the OCI specification of the machine: its root container only
// runs the launcher as pid 1; programs come later over the control socket.
func (r *rootFS) spec(ids idMap, overlayBytes uint64) *ociSpec {
	uids, gids := ids.mappings()
	return &ociSpec{
		Version: ociVersion,
		Process: ociProcess{
			Args:            []string{"init"},
			Cwd:             "/",
			Capabilities:    ociCapabilities{Bounding: guestCaps, Effective: guestCaps, Permitted: guestCaps},
			NoNewPrivileges: true,
		},
		Root:     ociRoot{Path: r.path},
		Hostname: "sandbox",
		Mounts: append([]ociMount{
			{Type: "proc", Destination: "/proc"},
			{Type: "tmpfs", Destination: "/dev"},
			{Type: "sysfs", Destination: "/sys", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
			{Type: "tmpfs", Destination: "/dev/shm", Options: []string{
				"nosuid", "nodev", "mode=1777", fmt.Sprintf("size=%d", overlayBytes)}},
		}, r.mounts...),
		Annotations: r.annotations,
		Linux: ociLinux{
			Namespaces:  []ociNamespace{{Type: "pid"}, {Type: "ipc"}, {Type: "uts"}, {Type: "mount"}, {Type: "user"}},
			UIDMappings: uids,
			GIDMappings: gids,
		},
	}
}
