package escape

import "path/filepath"

var mountProbes = []probe{
	{name: "mount", args: fixed("mount_tmpfs", "/tmp"), deny: "mount: EPERM", missing: needsRoot},
	{name: "device node", args: fixed("device_make", "/tmp", "1", "11"), deny: "mknod: EPERM", missing: needsFile("/dev/kmsg", true)},
	openHost("/dev/mem", true),
	openHost("/dev/kvm", true),
	openHost("/dev/loop-control", true),
	named("disk", openHost(filepath.Join("/dev", filepath.Base(first("/sys/block/[!l]*"))), true)),
	{name: "network device", args: fixed("device_network"), deny: "(open|ioctl): (ENOENT|EPERM)", missing: needsFile("/dev/net/tun", true)},
	openHost("/dev/console", true),
}
