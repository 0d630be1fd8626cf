/* Mounts and device nodes. */
#include "probe.h"

#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

/* mount_tmpfs DIRECTORY: in a mount namespace of its own where that is possible. */
PROBE(mount_tmpfs)
{
	if (!unshare(CLONE_NEWNS))
		mount("none", "/", 0, MS_REC | MS_PRIVATE, 0);
	return mount("tmpfs", arg(argc, argv, 1), "tmpfs", 0, "size=4k") ? denied("mount") : reached("it was mounted");
}

/* mount_writable DIRECTORY NAME: makes a read-only view writable, with all the power of a user namespace. */
PROBE(mount_writable)
{
	char path[PATH_MAX];
	const char *dir = arg(argc, argv, 1);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		unshare(CLONE_NEWNS);
	mount("none", "/", 0, MS_REC | MS_PRIVATE, 0);
	mount(0, dir, 0, MS_REMOUNT | MS_BIND, 0);
	mount(0, dir, 0, MS_REMOUNT, 0);
	mount(0, "/usr", 0, MS_REMOUNT | MS_BIND, 0);
	mount(0, "/usr", 0, MS_REMOUNT, 0);
	mount(dir, "/tmp", 0, MS_BIND, 0);
	mount(0, "/tmp", 0, MS_REMOUNT | MS_BIND, 0);
	int fd = -1;
	for (int i = 0; i < 2 && fd < 0; i++) {
		snprintf(path, sizeof path, "%s/%s", i ? "/tmp" : dir, arg(argc, argv, 2));
		fd = open(path, O_WRONLY | O_CREAT, 0644);
	}
	return fd < 0 ? denied("create") : reached("%s was created", path);
}

/* device_make DIRECTORY MAJOR MINOR: a device node for the host's memory, or a disk. */
PROBE(device_make)
{
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/.msb-escape-%d", arg(argc, argv, 1), (int)getpid());
	if (mknod(path, S_IFCHR | 0600, makedev((unsigned)number(argc, argv, 2), (unsigned)number(argc, argv, 3))))
		return denied("mknod");
	int fd = open(path, O_RDONLY);
	unlink(path);
	return fd < 0 ? denied("open") : reached("the device is open");
}

/* device_network: an interface that is gone with this process. */
PROBE(device_network)
{
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR);
	if (fd < 0)
		return denied("open");
	return ioctl(fd, TUNSETIFF, &r) ? denied("ioctl") : reached("an interface");
}
