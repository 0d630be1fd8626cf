package gvisor

import (
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// guestCaps are the capabilities of the guest's programs, as the header lists
// them. All are virtual: the sentry interprets them, the host knows none.
var guestCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_SETFCAP",
}

func capabilities() *specs.LinuxCapabilities {
	return &specs.LinuxCapabilities{Bounding: guestCaps, Effective: guestCaps, Permitted: guestCaps}
}

// spec returns the OCI specification of the machine: its root container only
// runs the launcher as pid 1; programs come later over the control socket.
func (r *rootFS) spec(ids idMap, overlayBytes uint64) *specs.Spec {
	uids, gids := ids.mappings()
	return &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{
			Args:            []string{"init"},
			Cwd:             "/",
			Capabilities:    capabilities(),
			NoNewPrivileges: true,
		},
		Root:     &specs.Root{Path: r.path},
		Hostname: "sandbox",
		Mounts: append([]specs.Mount{
			{Type: "proc", Destination: "/proc"},
			{Type: "tmpfs", Destination: "/dev"},
			{Type: "sysfs", Destination: "/sys", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
			{Type: "tmpfs", Destination: "/dev/shm", Options: []string{
				"nosuid", "nodev", "mode=1777", fmt.Sprintf("size=%d", overlayBytes)}},
		}, r.mounts...),
		Annotations: r.annotations,
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.MountNamespace}, {Type: specs.UserNamespace},
			},
			UIDMappings: uids,
			GIDMappings: gids,
		},
	}
}
