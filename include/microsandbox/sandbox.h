/* Sandboxes: creating them, and what their handles do. Included by microsandbox.h. */
#ifndef MICROSANDBOX_SANDBOX_H
#define MICROSANDBOX_SANDBOX_H

#include "base.h"
#include "mounts.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSB_ENGINE_AUTO   0  /* the strongest that a probe run has shown to work */
#define MSB_ENGINE_GVISOR 1  /* a kernel in user space; needs neither KVM nor root */
#define MSB_ENGINE_QEMU   2  /* a microVM with KVM; what it cannot do is refused: docs/engines.md */
#define MSB_ENGINE_QEMU_TCG 3 /* a microVM with a processor in software, ten times slower; by name only */
#define MSB_ENGINE_JOB    4  /* Windows: host programs in a job object; limits, no wall; never AUTO */

#define MSB_ROOT_HOST  0  /* read-only view of the host's toolchain, writable /tmp and home */
#define MSB_ROOT_DIR   1  /* a directory; changes stay in memory */
#define MSB_ROOT_EROFS 2  /* an EROFS image file; changes stay in memory */

/* msb_sandbox_options.flags */
#define MSB_CREATE_ASYNC    1u  /* return at once; MSB_EVENT_READY or msb_wait tells the rest */
#define MSB_CREATE_DETACHED 2u  /* once started, live on without this process */
#define MSB_CREATE_STORED   4u  /* keep the configuration under the name, until msb_sandbox_remove */
#define MSB_CREATE_REPLACE  8u  /* end and forget a sandbox that has the name */

/*
 * All zero (after size) is a useful sandbox:
 *
 *   field             0 means
 *   name              generated, "msb-" and 12 hex digits
 *   msb_path          `msb` beside the library, then ../libexec/microsandbox/msb
 *                     from there, then the directory set at build time
 *   state_dir         $MSB_HOME, else $XDG_RUNTIME_DIR/microsandbox, else
 *                     /run/user/UID/microsandbox, else /tmp/microsandbox-UID;
 *                     read at each call; Windows: else microsandbox in the
 *                     user's local application data
 *   engine            MSB_ENGINE_AUTO
 *   root_kind         MSB_ROOT_HOST (root_path must then be NULL)
 *   memory_bytes      512 MiB, in-memory files included; at least 64 MiB
 *   overlay_bytes     half of memory_bytes
 *   start_timeout_ms  30000
 *   stop_grace_ms     2000, between TERM and KILL at close; negative = none
 *   replace_grace_ms  10000, for the programs of the replaced one; negative = none
 *   idle_timeout_ms   none; else ends when no program has run for that long and
 *                     nobody asked for anything
 *   max_duration_ms   none; else ends after that long
 *   labels            none
 *   metrics_interval_ms  1000; negative = no metrics
 *   mounts            none; mounts_count elements of mount_size bytes each,
 *                     sizeof(msb_mount); at most 64
 *   log_max_bytes     10 MiB, of each of the log's up to four files; at least 64 KiB
 *   kernel_path       of microVMs: the kernel that `msb kernel install` prepared, else
 *                     the newest in /boot; a vmlinuz with its modules where they belong
 *                     beside it, or a directory that msb kernel install made
 *   cpu_permille      no quota; else processor time per time, 1000 is one processor;
 *                     at least 10. Needs a control group that may be written here,
 *                     else SETUP
 *   cpu_weight        the host's default; else 1 to 10000, relative to others, with
 *                     100 as what others have. Needs the same
 *   cpu_time_limit_ms none; else the sandbox ends once its programs have used that
 *                     much processor time together
 *   max_processes     one for each 2 MiB of memory_bytes, up to 16384: processes and
 *                     threads at once, zombies included; fork then gives EAGAIN
 *   max_open_files    4096, of each process: its hard RLIMIT_NOFILE, 16 to 1048576;
 *                     the soft one is 1024 at most
 *                     With MSB_ENGINE_JOB this and cpu_weight can only be 0, none:
 *                     else UNSUPPORTED
 *
 * Stored sandboxes keep their configuration, not their files; the sources of
 * mounts are opened anew at each start. The configuration lies in state_dir or
 * $MSB_HOME when given, else in $XDG_DATA_HOME/microsandbox, else in
 * $HOME/.local/share/microsandbox.
 *
 * The guest's programs run as uid 0 of the sandbox with the capabilities
 * CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
 * NET_BIND_SERVICE, SYS_CHROOT and SETFCAP: all of them virtual, none on the
 * host. There is no network but loopback.
 */
typedef struct msb_sandbox_options {
	uint32_t size;
	uint32_t flags;
	const char *name;       /* 1 to 128 bytes of UTF-8; no '/', control bytes, "." or ".." */
	const char *msb_path;
	const char *state_dir;  /* at most 3000 bytes; made when missing */
	uint32_t engine;        /* MSB_ENGINE_* */
	uint32_t root_kind;     /* MSB_ROOT_* */
	const char *root_path;
	uint64_t memory_bytes;
	uint64_t overlay_bytes; /* changes to the root file system */
	int64_t start_timeout_ms;
	int64_t stop_grace_ms;
	int64_t replace_grace_ms;
	int64_t idle_timeout_ms;
	int64_t max_duration_ms;
	const char *const *labels; /* NULL-terminated NAME=VALUE in UTF-8, 1000 bytes in all */
	int64_t metrics_interval_ms;
	const msb_mount *mounts;
	uint32_t mounts_count;
	uint32_t mount_size;       /* sizeof(msb_mount) */
	uint64_t log_max_bytes;
	const char *kernel_path;
	uint32_t cpu_permille;
	uint32_t cpu_weight;
	int64_t cpu_time_limit_ms;
	uint32_t max_processes;
	uint32_t max_open_files;
} msb_sandbox_options;
#define MSB_SANDBOX_OPTIONS_INIT \
	{ (uint32_t)sizeof(msb_sandbox_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
	  0, 0, 0, 0, 0, 0 }

#define MSB_STATE_STARTING 1
#define MSB_STATE_RUNNING  2
#define MSB_STATE_DRAINING 3
#define MSB_STATE_STOPPED  4  /* ended; the outcome says how */
#define MSB_STATE_CRASHED  5  /* stored, and its supervisor died without a word */

/* msb_sandbox_info.flags and msb_sandbox_entry.flags */
#define MSB_INFO_ATTACHED 1u  /* ends with its owner */
#define MSB_INFO_OWNER    2u  /* this handle is the owner's (not in entries) */
#define MSB_INFO_STORED   4u  /* its configuration is kept (entries only) */
#define MSB_INFO_POOLED   8u  /* it waits in a pool: nobody has taken it */

typedef struct msb_sandbox_info {
	uint32_t size;
	uint32_t state;           /* MSB_STATE_* */
	uint32_t engine;          /* the engine in use, never AUTO */
	uint32_t flags;           /* MSB_INFO_* */
	int32_t pid;              /* the supervisor's */
	uint32_t programs;        /* running now */
	uint64_t memory_bytes;    /* the limit in force */
	uint64_t overlay_bytes;
	int64_t created_unix_ms;
	char receipt[1024];       /* what is enforced by what: lines of "protection: mechanism" */
	uint32_t cpu_permille;    /* limits in force; 0 = none, here and below */
	uint32_t cpu_weight;
	int64_t cpu_time_limit_ms;
	uint32_t max_processes;
	uint32_t max_open_files;
} msb_sandbox_info;
#define MSB_SANDBOX_INFO_INIT \
	{ (uint32_t)sizeof(msb_sandbox_info), 0, 0, 0, 0, 0, 0, 0, 0, {0}, 0, 0, 0, 0, 0 }

/*
 * Creates a sandbox: one supervisor process (msb) with its engine. The caller's
 * process is its owner: it ends with the owner or with msb_close, unless
 * disarmed. Blocks up to start_timeout_ms, or not at all with MSB_CREATE_ASYNC;
 * a failed asynchronous start comes out of msb_wait. On failure nothing is left
 * and *out is 0. Ownership: *out is closed with msb_close.
 * Expect: EXISTS, NOT_FOUND (msb or the root), PERMISSION, LAUNCH, BOOT, SETUP,
 * TIMED_OUT, UNSUPPORTED, LIMIT, IO.
 */
MSB_API msb_result msb_sandbox_create(const msb_sandbox_options *options, msb_handle *out, msb_error *err);

/*
 * Tells whether a sandbox with these options would work here, by booting one
 * and running a program in it: on success *out holds what would be enforced by
 * what, else the error names the cause and the remedy. Blocks up to
 * start_timeout_ms. options may be NULL. Expect: as msb_sandbox_create.
 */
MSB_API msb_result msb_probe(const msb_sandbox_options *options, msb_sandbox_info *out, msb_error *err);

/*
 * Opens a living sandbox by name, from any process of the same user. The handle
 * does not own the sandbox: msb_close releases it and nothing more; kill, stop,
 * drain, wait and programs work as with the owner's. state_dir as in the
 * options. Blocks up to 10 s. Expect: NOT_FOUND, PERMISSION, GONE, TIMED_OUT.
 */
MSB_API msb_result msb_sandbox_open(const char *name, const char *state_dir, msb_handle *out, msb_error *err);

/* The supervisor's process id, as given at start; 0 while it is not yet known. */
MSB_API msb_result msb_sandbox_pid(msb_handle sandbox, int32_t *out, msb_error *err);

/*
 * Copies the name and a NUL into buffer (capacity bytes); *length (may be NULL)
 * is the length without the NUL. buffer may be NULL when capacity is 0.
 * Expect: BUFFER (nothing copied).
 */
MSB_API msb_result msb_sandbox_name(msb_handle sandbox, char *buffer, uint32_t capacity, uint32_t *length,
                                    msb_error *err);

/* What the sandbox is and does now. Blocks up to 10 s. Expect: DONE, GONE, STATE (still starting). */
MSB_API msb_result msb_sandbox_info_get(msb_handle sandbox, msb_sandbox_info *out, msb_error *err);

/*
 * Requests a drain: new programs are refused, running ones go on until they end
 * or deadline_ms has passed (negative = no deadline), then TERM, grace, KILL.
 * The outcome's cause is then DRAINED. Returns at once. Expect: DONE, GONE.
 */
MSB_API msb_result msb_sandbox_drain(msb_handle sandbox, int64_t deadline_ms, msb_error *err);

/*
 * Requests a stop: TERM to all programs, grace_ms, KILL (negative = the
 * sandbox's own stop_grace_ms). A supervisor that does not answer is killed.
 * Returns at once; msb_wait tells the end. Expect: DONE, GONE.
 */
MSB_API msb_result msb_sandbox_stop(msb_handle sandbox, int64_t grace_ms, msb_error *err);

/*
 * Detaches the sandbox from its owner: from the acknowledged return on, neither
 * msb_close nor the owner's death ends it. Idempotent. Blocks up to 10 s.
 * Expect: STATE (not the owner's handle, or still starting), DONE, GONE, TIMED_OUT.
 */
MSB_API msb_result msb_sandbox_disarm(msb_handle sandbox, msb_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MICROSANDBOX_SANDBOX_H */
