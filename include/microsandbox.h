/*
 * libmicrosandbox: run untrusted code from inside any program.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     msb_error err = MSB_ERROR_INIT;
 *     msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
 *     msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
 *     const char *argv[] = {"echo", "hello", NULL};
 *     msb_handle sandbox, process;
 *     msb_outcome outcome = MSB_OUTCOME_INIT;
 *
 *     po.argv = argv;
 *     po.stdio[1].kind = MSB_STDIO_INHERIT;
 *     if (msb_sandbox_create(&so, &sandbox, &err) != MSB_OK ||
 *         msb_process_start(sandbox, &po, &process, &err) != MSB_OK ||
 *         msb_wait(process, -1, &outcome, &err) != MSB_OK)
 *             fprintf(stderr, "%s\n", err.message);
 *     msb_close(sandbox);
 *
 * Rules that hold for every function:
 *
 * Results.  MSB_OK or a negative MSB_E_*.  Numbers are never reused.  What a
 *   guest program did is an msb_outcome, not an error.  Each function lists the
 *   codes to expect; INVALID, HANDLE, FORKED and INTERNAL can come from all.
 * Errors.  The last argument is the caller's msb_error, or NULL.  Set its size
 *   (MSB_ERROR_INIT); a size below 16 leaves it untouched.  It is written on
 *   every call, on success too (code 0, empty message).
 * Handles.  0 is never valid.  A stale, forged, closed or wrong-kind handle
 *   gives MSB_E_HANDLE, from any thread.  Values stay below 2^53.
 * Structs.  Each starts with `size`, set by the caller to sizeof.  A smaller
 *   size means that later fields are 0 (input) or not wanted (output).  A larger
 *   one is accepted as long as the unknown input tail is all zero bytes, else
 *   MSB_E_TOO_NEW; an unknown output tail is left alone.  Sizes are multiples of
 *   8 up to 64 KiB.  Zero is always the default.  Reserved fields must be 0, and
 *   an unknown MSB_* value is MSB_E_INVALID.
 * Memory.  Inputs are copied before return.  The library returns no memory to
 *   free: text goes to the caller's buffer, and the needed length is reported.
 * Strings.  Paths, argv and environment are NUL-terminated bytes of any
 *   encoding.  Names, labels and messages are UTF-8.  NULL is the default; an
 *   empty string is not.
 * Descriptors.  Each one that the library returns is close-on-exec, blocking
 *   unless stated, and the caller's to close.
 * Threads.  Every function may be called from any thread at any time, on the
 *   same handle too.  No function calls back.
 * Time.  Monotonic milliseconds.  Timeout arguments: negative = for ever, 0 =
 *   poll.  Times in option structs: 0 = the default, at most a year, negative
 *   only where stated.
 * Fork.  In a process forked after the library was loaded every call gives
 *   MSB_E_FORKED at once.  exec and posix_spawn are unaffected.
 * Process.  The library keeps the host's signal mask and handlers, limits,
 *   working directory, umask, environment and descriptor flags as they were,
 *   and never prints, exits or aborts.  It cannot be unloaded.  glibc only.
 */
#ifndef MICROSANDBOX_H
#define MICROSANDBOX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#  if defined(MSB_BUILDING)
#    define MSB_API __declspec(dllexport)
#  else
#    define MSB_API __declspec(dllimport)
#  endif
typedef intptr_t msb_os_fd; /* a HANDLE */
#else
#  define MSB_API __attribute__((visibility("default")))
typedef int32_t msb_os_fd;  /* a file descriptor */
#endif

#define MSB_VERSION_MAJOR 0
#define MSB_VERSION_MINOR 1
#define MSB_VERSION_PATCH 0
#define MSB_VERSION ((MSB_VERSION_MAJOR << 16) | (MSB_VERSION_MINOR << 8) | MSB_VERSION_PATCH)

typedef uint64_t msb_handle;
typedef int32_t msb_result;

/* ---- results ---------------------------------------------------------- */

#define MSB_OK              0
#define MSB_E_INVALID      (-1)  /* a wrong argument; the message names it */
#define MSB_E_HANDLE       (-2)  /* stale, forged, closed or wrong-kind handle */
#define MSB_E_STATE        (-3)  /* not possible in the present state */
#define MSB_E_TIMED_OUT    (-4)  /* the given time passed; the operation goes on */
#define MSB_E_CANCELED     (-5)  /* msb_cancel was called */
#define MSB_E_CLOSED       (-6)  /* the handle was closed during the call */
#define MSB_E_NOT_FOUND    (-7)  /* no such sandbox, file or directory */
#define MSB_E_EXISTS       (-8)  /* a living or stored sandbox has this name */
#define MSB_E_PERMISSION   (-9)  /* the operating system refused */
#define MSB_E_UNSUPPORTED (-10)  /* this engine, kernel or build cannot do it */
#define MSB_E_LIMIT       (-11)  /* too many or too large (descriptors, memory, argv) */
#define MSB_E_TOO_NEW     (-12)  /* the caller uses fields or flags of a later version */
#define MSB_E_SETUP       (-13)  /* a protection could not be applied; nothing runs */
#define MSB_E_EXEC        (-14)  /* the program could not be started; see sys_errno */
#define MSB_E_IO          (-15)  /* a system call failed; see sys_errno */
#define MSB_E_FORKED      (-16)  /* the library was loaded before fork() */
#define MSB_E_LAUNCH      (-17)  /* the msb executable could not be started or misbehaved */
#define MSB_E_BOOT        (-18)  /* the engine did not come up */
#define MSB_E_DONE        (-19)  /* already finished: there is nothing to act on */
#define MSB_E_GONE        (-20)  /* the sandbox ended before it could answer */
#define MSB_E_BUFFER      (-21)  /* the buffer is too small; the needed length was stored */
#define MSB_E_INTERNAL    (-99)  /* a bug in the library; the message says where */

/* Where an error arose. */
#define MSB_STAGE_NONE      0
#define MSB_STAGE_ARGUMENT  1  /* checking the arguments */
#define MSB_STAGE_LAUNCH    2  /* finding and starting msb */
#define MSB_STAGE_CONFIG    3  /* msb reading its configuration */
#define MSB_STAGE_STATE     4  /* state directory, name, records */
#define MSB_STAGE_ROOT      5  /* root file system */
#define MSB_STAGE_ENGINE    6  /* booting the engine */
#define MSB_STAGE_CONTROL   7  /* talking to the supervisor */
#define MSB_STAGE_EXEC      8  /* starting a program: the executable */
#define MSB_STAGE_CWD       9  /* starting a program: its working directory */
#define MSB_STAGE_STDIO    10  /* starting a program: its stdio */

typedef struct msb_error {
	uint32_t size;
	int32_t code;        /* the returned code */
	int32_t sys_errno;   /* errno of the failing system call, or 0 */
	uint32_t stage;      /* MSB_STAGE_* */
	char message[496];   /* UTF-8, one line, NUL-terminated, "" on success */
} msb_error;
#define MSB_ERROR_INIT { (uint32_t)sizeof(msb_error), 0, 0, 0, {0} }

/* ---- library ---------------------------------------------------------- */

/* The version of the loaded library, as in MSB_VERSION. Works after fork. */
MSB_API uint32_t msb_version(void);

/* The name of a result ("MSB_E_INVALID"), static; "MSB_E_?" when unknown. Works after fork. */
MSB_API const char *msb_result_name(msb_result result);

/*
 * Sends one line of text per action on a sandbox (time, name, pid, action) to
 * fd; -1 turns it off (the default). The library keeps a duplicate: the caller
 * may close its own. A line that cannot be written at once is dropped and
 * counted, never waited for. Expect: IO (fd is not open), LIMIT.
 */
MSB_API msb_result msb_set_log_fd(msb_os_fd fd, msb_error *err);

/* ---- sandboxes -------------------------------------------------------- */

#define MSB_ENGINE_AUTO   0  /* the strongest that a probe run has shown to work */
#define MSB_ENGINE_GVISOR 1  /* a kernel in user space; needs neither KVM nor root */

#define MSB_ROOT_HOST  0  /* read-only view of the host's toolchain, writable /tmp and home */
#define MSB_ROOT_DIR   1  /* a directory; changes stay in memory */
#define MSB_ROOT_EROFS 2  /* an EROFS image file; changes stay in memory */

#define MSB_MOUNT_BIND  0  /* a directory or regular file of the host; changes reach it, set-id bits do not */
#define MSB_MOUNT_TMPFS 1  /* an empty file system in memory */
#define MSB_MOUNT_EROFS 2  /* an EROFS image file, always read-only */

/* msb_mount.flags */
#define MSB_MOUNT_READONLY 1u
#define MSB_MOUNT_NOEXEC   2u  /* no program is executed from it */
#define MSB_MOUNT_NOSUID   4u  /* set-user-id bits and file capabilities have no effect */
#define MSB_MOUNT_NODEV    8u  /* always in force for the host's devices: none is ever opened */

/*
 * What a sandbox shows of the host beside its root. source is opened once, during
 * the call: whatever its path leads to later, what was opened is mounted. target is
 * absolute, without "..", and neither /, /proc, /sys, /dev nor in these; what is
 * missing of it is made in memory. docs/mounts.md has the details.
 */
typedef struct msb_mount {
	uint32_t kind;       /* MSB_MOUNT_* */
	uint32_t flags;
	const char *source;  /* NULL for TMPFS */
	const char *target;
	uint64_t size_bytes; /* TMPFS: 0 = 64 MiB, at least 4096; else 0 */
	uint64_t reserved;
} msb_mount;

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
 *                     read at each call
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
} msb_sandbox_options;
#define MSB_SANDBOX_OPTIONS_INIT \
	{ (uint32_t)sizeof(msb_sandbox_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

#define MSB_STATE_STARTING 1
#define MSB_STATE_RUNNING  2
#define MSB_STATE_DRAINING 3
#define MSB_STATE_STOPPED  4  /* ended; the outcome says how */
#define MSB_STATE_CRASHED  5  /* stored, and its supervisor died without a word */

/* msb_sandbox_info.flags and msb_sandbox_entry.flags */
#define MSB_INFO_ATTACHED 1u  /* ends with its owner */
#define MSB_INFO_OWNER    2u  /* this handle is the owner's (not in entries) */
#define MSB_INFO_STORED   4u  /* its configuration is kept (entries only) */

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
} msb_sandbox_info;
#define MSB_SANDBOX_INFO_INIT \
	{ (uint32_t)sizeof(msb_sandbox_info), 0, 0, 0, 0, 0, 0, 0, 0, {0} }

typedef struct msb_sandbox_entry {
	uint32_t size;
	uint32_t state;
	int32_t pid;              /* 0 when it does not run */
	uint32_t engine;
	uint32_t flags;
	uint32_t last_cause;      /* MSB_CAUSE_* of the last run of a stopped one */
	int64_t created_unix_ms;
	char name[136];           /* NUL-terminated */
	char labels[1008];        /* lines of NAME=VALUE */
} msb_sandbox_entry;

/* msb_list_options.flags */
#define MSB_LIST_STOPPED 1u  /* stored sandboxes that do not run, too */

typedef struct msb_list_options {
	uint32_t size;
	uint32_t flags;
	const char *state_dir;     /* as in msb_sandbox_options */
	const char *const *labels; /* those that have all of these; NULL: all */
} msb_list_options;
#define MSB_LIST_OPTIONS_INIT { (uint32_t)sizeof(msb_list_options), 0, 0, 0 }

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

/*
 * Starts a stored sandbox that does not run, with its configuration. Of options
 * only name (required), msb_path, state_dir, start_timeout_ms and the flags ASYNC
 * and DETACHED may be set. Else as msb_sandbox_create. Expect also: NOT_FOUND.
 */
MSB_API msb_result msb_sandbox_start(const msb_sandbox_options *options, msb_handle *out, msb_error *err);

/* Forgets a stored sandbox and its log. Expect: NOT_FOUND, STATE (it runs), PERMISSION, IO. */
MSB_API msb_result msb_sandbox_remove(const char *name, const char *state_dir, msb_error *err);

/*
 * Lists sandboxes, sorted by name; options may be NULL. entries may be NULL
 * when capacity is 0; entries[0].size gives the size of each element. *count is
 * set to how many there are; BUFFER when that exceeds capacity (the first ones
 * are filled in). Expect: BUFFER, PERMISSION, IO.
 */
MSB_API msb_result msb_sandbox_list(const msb_list_options *options, msb_sandbox_entry *entries, uint32_t capacity,
                                    uint32_t *count, msb_error *err);

/*
 * Lists everything that the library made under a state directory and that still
 * exists, after sweeping what dead sandboxes left: lines of "kind: detail" with a
 * NUL into buffer. *length (may be NULL) is the length without the NUL; *orphans
 * (may be NULL) how many lines belong to no living or stored sandbox: a leak.
 * Expect: BUFFER (nothing copied), PERMISSION, IO.
 */
MSB_API msb_result msb_audit(const char *state_dir, char *buffer, uint32_t capacity, uint32_t *length,
                             uint32_t *orphans, msb_error *err);

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

/* msb_metrics.known: which fields were measured; the others are 0 */
#define MSB_METRIC_CPU_TIME      0x001u
#define MSB_METRIC_CPU_PERMILLE  0x002u
#define MSB_METRIC_MEMORY_USED   0x004u
#define MSB_METRIC_MEMORY_PEAK   0x008u
#define MSB_METRIC_OVERLAY_USED  0x010u
#define MSB_METRIC_DISK_READ     0x020u
#define MSB_METRIC_DISK_WRITTEN  0x040u
#define MSB_METRIC_NET_RECEIVED  0x080u
#define MSB_METRIC_NET_SENT      0x100u
#define MSB_METRIC_PROGRAMS      0x200u
#define MSB_METRIC_UPTIME        0x400u

typedef struct msb_metrics {
	uint32_t size;
	uint32_t known;              /* MSB_METRIC_* */
	int64_t sampled_unix_ms;
	int64_t uptime_ns;
	int64_t cpu_time_ns;         /* of all programs */
	uint32_t cpu_permille;       /* since the sample before; 1000 is one CPU */
	uint32_t programs;           /* running */
	uint64_t memory_used_bytes;
	uint64_t memory_peak_bytes;
	uint64_t memory_limit_bytes;
	uint64_t overlay_used_bytes;
	uint64_t overlay_limit_bytes;
	uint64_t disk_read_bytes;
	uint64_t disk_written_bytes;
	uint64_t net_received_bytes; /* loopback not counted */
	uint64_t net_sent_bytes;
	int32_t pid;                 /* the supervisor's */
	uint32_t reserved;
	char name[136];
} msb_metrics;
#define MSB_METRICS_INIT \
	{ (uint32_t)sizeof(msb_metrics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/*
 * The last sample of a sandbox, read from shared memory: its supervisor is not
 * asked. Expect: NOT_FOUND (no sample yet, none wanted, or no slot was free), IO.
 */
MSB_API msb_result msb_sandbox_metrics(msb_handle sandbox, msb_metrics *out, msb_error *err);

/*
 * The last samples of all living sandboxes of a state directory. entries and
 * count as in msb_sandbox_list. Expect: BUFFER, PERMISSION, UNSUPPORTED (a
 * registry of another version), IO.
 */
MSB_API msb_result msb_metrics_list(const char *state_dir, msb_metrics *entries, uint32_t capacity, uint32_t *count,
                                    msb_error *err);

/* msb_logs_options.flags */
#define MSB_LOGS_FOLLOW 1u  /* go on until the sandbox ends */

/* msb_logs_options.sources */
#define MSB_LOG_STDOUT     2u  /* 1 << msb_log_frame.source */
#define MSB_LOG_STDERR     4u
#define MSB_LOG_SUPERVISOR 8u

typedef struct msb_logs_options {
	uint32_t size;
	uint32_t flags;         /* MSB_LOGS_* */
	uint32_t sources;       /* MSB_LOG_*; 0 = all */
	uint32_t reserved;
	int64_t tail_lines;     /* only the last lines; 0 = all, negative = none that is there already */
	int64_t since_unix_ms;  /* only what was said then or later */
	uint64_t program;       /* only of this one; 0 = of all and the supervisor */
} msb_logs_options;
#define MSB_LOGS_OPTIONS_INIT { (uint32_t)sizeof(msb_logs_options), 0, 0, 0, 0, 0, 0 }

/* msb_log_frame.source */
#define MSB_LOG_SOURCE_STDOUT     1
#define MSB_LOG_SOURCE_STDERR     2
#define MSB_LOG_SOURCE_SUPERVISOR 3
#define MSB_LOG_SOURCE_GAP        4  /* content is missing: uint64_t bytes of it, then why in UTF-8 */

/* What each entry of a log begins with, little-endian; its content follows. */
typedef struct msb_log_frame {
	uint32_t length;       /* of frame and content, 40 to 32808 bytes */
	uint32_t crc32;        /* of all that follows, as zlib's */
	uint32_t source;       /* MSB_LOG_SOURCE_* */
	uint32_t reserved;
	uint64_t program;      /* from 1, in the order in which they were started; 0 = the supervisor */
	int64_t time_unix_ns;
	uint64_t position;     /* bytes of content before it, since the log began */
} msb_log_frame;

/*
 * Gives a descriptor (a stream socket) from which entries of a sandbox's log can
 * be read, whole frames one after another, then end of file. It works with poll,
 * epoll, asyncio and libuv; a caller that reads slowly slows nobody down: what was
 * rotated away meanwhile comes as a gap with its size. Closing it is all there is
 * to end it. The sandbox lives, or is stored; a stored one's failed first start
 * can be read, too. options may be NULL. docs/logs.md has more.
 * Expect: NOT_FOUND (a temporary sandbox's log goes with it), LIMIT, PERMISSION, IO.
 */
MSB_API msb_result msb_logs_open(const char *name, const char *state_dir, const msb_logs_options *options,
                                 msb_os_fd *out, msb_error *err);

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

/* ---- programs --------------------------------------------------------- */

#define MSB_STDIO_NULL    0  /* /dev/null */
#define MSB_STDIO_PIPE    1  /* a pipe; msb_process_stdio gives the caller's end */
#define MSB_STDIO_FD      2  /* the caller's descriptor `fd`; its flags stay as they are */
#define MSB_STDIO_INHERIT 3  /* the caller's own descriptor 0, 1 or 2 */
#define MSB_STDIO_LOG     5  /* stdout and stderr: the sandbox's log; see msb_logs_open */

typedef struct msb_stdio {
	uint32_t kind;      /* MSB_STDIO_* */
	uint32_t reserved;
	int64_t fd;         /* for MSB_STDIO_FD, else 0; the caller may close it after the call */
} msb_stdio;

/* msb_process_options.flags */
#define MSB_START_ASYNC     1u  /* return at once; MSB_EVENT_READY or msb_wait tells the rest */
#define MSB_START_CLEAR_ENV 2u  /* no default environment, only env */
#define MSB_START_UMASK     4u  /* umask counts */

/* A resource limit, as in setrlimit(2), with Linux's numbers on every host. */
typedef struct msb_rlimit {
	uint32_t resource;  /* 0 CPU, 1 FSIZE, 2 DATA, 3 STACK, 4 CORE, 5 RSS, 6 NPROC, 7 NOFILE, 8 MEMLOCK, 9 AS */
	uint32_t reserved;
	uint64_t soft;      /* seconds, bytes or a count; UINT64_MAX = none */
	uint64_t hard;      /* at least soft, and at most the sandbox's own */
} msb_rlimit;

/*
 *   field             0 means
 *   argv              (required) NULL-terminated; argv[0] is looked up in the
 *                     guest's PATH unless it has a '/'
 *   env               NULL-terminated NAME=VALUE; added to the default
 *                     PATH, HOME=/root and LANG=C.UTF-8
 *   cwd               the root's work directory: /work for MSB_ROOT_HOST, else /
 *   stdio             /dev/null
 *   start_timeout_ms  30000
 *   uid, gid          root of the sandbox; with another uid the program has no
 *                     capabilities, and HOME stays /root unless env says else
 *   groups            none; group_count supplementary groups, at most 1024
 *   umask             022 without MSB_START_UMASK; at most 0777
 *   rlimits           the sandbox's; rlimit_count entries, at most 16, each
 *                     resource once; they hold for each process of the program
 *   wall_limit_ms     none; else SIGKILL to the program and all that it started
 *                     when that long has passed since it started
 * argv, env and cwd together are at most 1 MiB.
 */
typedef struct msb_process_options {
	uint32_t size;
	uint32_t flags;
	const char *const *argv;
	const char *const *env;
	const char *cwd;
	msb_stdio stdio[3];  /* stdin, stdout, stderr */
	int64_t start_timeout_ms;
	uint32_t uid;
	uint32_t gid;
	const uint32_t *groups;
	uint32_t group_count;
	uint32_t umask;
	const msb_rlimit *rlimits;
	uint32_t rlimit_count;
	uint32_t reserved;
	int64_t wall_limit_ms;
} msb_process_options;
#define MSB_PROCESS_OPTIONS_INIT \
	{ (uint32_t)sizeof(msb_process_options), 0, 0, 0, 0, { {0, 0, 0}, {0, 0, 0}, {0, 0, 0} }, 0, \
	  0, 0, 0, 0, 0, 0, 0, 0, 0 }

/*
 * Starts a program. Any number may run at once. Allowed while the sandbox is
 * still starting (with MSB_START_ASYNC it then waits its turn). Closing the
 * handle does not end the program; ending the sandbox does. Ownership: *out is
 * closed with msb_close.
 * Expect: EXEC (stage EXEC: sys_errno ENOENT, EACCES, ENOEXEC, …; stage CWD:
 * the working directory; EPERM for a limit above the sandbox's), STATE (draining),
 * UNSUPPORTED (another rlimit), DONE, GONE, LIMIT, TIMED_OUT, CANCELED,
 * CLOSED (msb_cancel or msb_close on the sandbox meanwhile: the program is killed).
 */
MSB_API msb_result msb_process_start(msb_handle sandbox, const msb_process_options *options, msb_handle *out,
                                     msb_error *err);

/*
 * Gives the caller's end of a pipe: which is 0 (write end of its stdin), 1 or 2
 * (read ends). Each can be taken once, then it is the caller's to close; one
 * that was never taken is closed with the handle. Works at once after an
 * asynchronous start. Expect: STATE (not a pipe, or taken already).
 */
MSB_API msb_result msb_process_stdio(msb_handle process, uint32_t which, msb_os_fd *out, msb_error *err);

/* ---- any handle ------------------------------------------------------- */

#define MSB_CAUSE_UNKNOWN       0  /* it ended; how could not be learnt */
#define MSB_CAUSE_EXITED        1  /* program: exit_code */
#define MSB_CAUSE_SIGNALED      2  /* program: signal */
#define MSB_CAUSE_SANDBOX_ENDED 3  /* program: its sandbox ended under it */
#define MSB_CAUSE_STOPPED       4  /* sandbox: stop or close */
#define MSB_CAUSE_DRAINED       5  /* sandbox: drain */
#define MSB_CAUSE_KILLED        6  /* sandbox: msb_kill, or SIGKILL from elsewhere */
#define MSB_CAUSE_OWNER_GONE    7  /* sandbox: its owner ended */
#define MSB_CAUSE_MEMORY_LIMIT  8  /* sandbox and its programs: over memory_bytes */
#define MSB_CAUSE_CRASHED       9  /* sandbox: the supervisor or engine failed */
#define MSB_CAUSE_START_FAILED 10  /* it never ran; msb_wait returns the error */
#define MSB_CAUSE_IDLE_TIMEOUT 11  /* sandbox: idle_timeout_ms */
#define MSB_CAUSE_MAX_DURATION 12  /* sandbox: max_duration_ms */
#define MSB_CAUSE_WALL_LIMIT   13  /* program: wall_limit_ms; signal */
#define MSB_CAUSE_CPU_LIMIT    14  /* program: its own process passed its rlimit CPU; signal */
#define MSB_CAUSE_FILE_LIMIT   15  /* program: its own process wrote past its rlimit FSIZE; signal */

typedef struct msb_outcome {
	uint32_t size;
	uint32_t cause;        /* MSB_CAUSE_* */
	int32_t exit_code;     /* 0 to 255 with EXITED, else -1 */
	int32_t signal;        /* with SIGNALED and a program's limits (Linux number), else 0 */
	int64_t wall_time_ns;  /* from start to end; -1 when unknown */
	/*
	 * What a program and all that it started used until its own end: processor
	 * time in steps of 10 ms, -1 when unknown; and the largest resident size of
	 * one of those processes that had ended, 0 when unknown. Unknown for sandboxes.
	 */
	int64_t cpu_time_ns;
	uint64_t memory_peak_bytes;
} msb_outcome;
#define MSB_OUTCOME_INIT { (uint32_t)sizeof(msb_outcome), 0, 0, 0, 0, 0, 0 }

/*
 * Signals. A sandbox takes 0 or 9 (SIGKILL): both kill the supervisor, engine
 * and programs, at once. A program takes 1 to 64: SIGKILL ends it and all that it
 * started, whatever became of their parents, sessions and ids; others go to the
 * program's own process. Once that has ended the outcome is final, and what it
 * started lives on until the sandbox ends. Never reaches another process
 * whose id was reused, and works while other threads wait or read.
 * Expect: DONE (finished already), STATE (a program that is still starting), GONE.
 */
MSB_API msb_result msb_kill(msb_handle handle, int32_t signo, msb_error *err);

/*
 * Waits until the sandbox or program has ended. Any number of threads may wait,
 * and again later: the outcome stays. out may be NULL. A start that failed
 * returns its error here, with cause START_FAILED.
 * Expect: TIMED_OUT, CANCELED, CLOSED, or the error of a failed start.
 */
MSB_API msb_result msb_wait(msb_handle handle, int64_t timeout_ms, msb_outcome *out, msb_error *err);

/* msb_wait without waiting: *done is 1 and out is filled in, or *done is 0. */
MSB_API msb_result msb_try_wait(msb_handle handle, int32_t *done, msb_outcome *out, msb_error *err);

#define MSB_EVENT_READY 1u  /* started, or failed to */
#define MSB_EVENT_DONE  2u  /* ended, or failed to start; for the owner's sandbox: and nothing of it is left */

/*
 * Gives a descriptor (the read end of a pipe, non-blocking) that becomes
 * readable once any of the events has happened: one byte, then end of file. It
 * works with poll, select, epoll, asyncio and libuv, and goes on to work after
 * msb_close; that of a sandbox which lives on without this handle (disarmed, or
 * not the owner's) becomes readable at msb_close. Each call makes a new one.
 * Expect: LIMIT.
 */
MSB_API msb_result msb_fd(msb_handle handle, uint32_t events, msb_os_fd *out, msb_error *err);

/* Makes every call that blocks on this handle now return MSB_E_CANCELED. */
MSB_API msb_result msb_cancel(msb_handle handle, msb_error *err);

/*
 * Gives the handle back: it is invalid at once, blocked calls return
 * MSB_E_CLOSED. An attached sandbox of the owner is asked to stop (TERM, grace,
 * KILL) and killed when it does not; take an MSB_EVENT_DONE descriptor first to
 * learn when nothing is left. Never blocks; 0 is a no-op.
 */
MSB_API msb_result msb_close(msb_handle handle);

#ifdef __cplusplus
}
#endif
#endif /* MICROSANDBOX_H */
