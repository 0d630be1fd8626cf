/* What a sandbox shows of the host beside its root. Included by microsandbox.h. */
#ifndef MICROSANDBOX_MOUNTS_H
#define MICROSANDBOX_MOUNTS_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSB_MOUNT_BIND  0  /* a directory or regular file of the host; changes reach it, set-id bits do not */
#define MSB_MOUNT_TMPFS 1  /* an empty file system in memory */
#define MSB_MOUNT_EROFS 2  /* an EROFS image file, always read-only */
#define MSB_MOUNT_DISK  3  /* the ext4 file system in a disk image; microVMs only */

/* msb_mount.flags */
#define MSB_MOUNT_READONLY 1u
#define MSB_MOUNT_NOEXEC   2u  /* no program is executed from it */
#define MSB_MOUNT_NOSUID   4u  /* set-user-id bits and file capabilities have no effect */
#define MSB_MOUNT_NODEV    8u  /* always in force for the host's devices: none is ever opened */
#define MSB_MOUNT_QCOW2   16u  /* DISK: the image is qcow2, on no other file; else it is raw */

/*
 * What a sandbox shows of the host beside its root. source is opened once, during
 * the call: whatever its path leads to later, what was opened is mounted. target is
 * absolute, without "..", and neither /, /proc, /sys, /dev nor in these; what is
 * missing of it is made in memory. A writable DISK without flags can be at /: the
 * changes to the root go there, and outlive the sandbox. docs/mounts.md has the details.
 */
typedef struct msb_mount {
	uint32_t kind;       /* MSB_MOUNT_* */
	uint32_t flags;
	const char *source;  /* NULL for TMPFS */
	const char *target;
	uint64_t size_bytes; /* TMPFS: 0 = 64 MiB, at least 4096; else 0 */
	uint64_t reserved;
} msb_mount;

#ifdef __cplusplus
}
#endif
#endif /* MICROSANDBOX_MOUNTS_H */
