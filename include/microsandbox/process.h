/* Programs in a sandbox. Included by microsandbox.h. */
#ifndef MICROSANDBOX_PROCESS_H
#define MICROSANDBOX_PROCESS_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSB_STDIO_NULL    0  /* /dev/null */
#define MSB_STDIO_PIPE    1  /* a pipe; msb_process_stdio gives the caller's end */
#define MSB_STDIO_FD      2  /* the caller's descriptor `fd`; its flags stay as they are */
#define MSB_STDIO_INHERIT 3  /* the caller's own descriptor 0, 1 or 2 */
#define MSB_STDIO_PTY     4  /* a terminal: all three streams or none; msb_process_stdio gives its master */
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
#define MSB_START_OVERLAPPED 8u /* Windows: the caller's ends of pipes take overlapped I/O only; elsewhere no effect */

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
 *                     PATH, HOME=/root and LANG=C.UTF-8, and TERM=xterm with
 *                     MSB_STDIO_PTY
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
 *   output_limit_bytes  none; else SIGKILL to the program and all that it started
 *                     when they have written more to its stdout and stderr together;
 *                     that many bytes reach their place. The supervisor then copies
 *                     what goes to pipes and descriptors; not with MSB_STDIO_PTY
 *   rows, cols        24 and 80 with MSB_STDIO_PTY, at most 65535; without it
 *                     they must be 0
 * argv, env and cwd together are at most 1 MiB.
 *
 * With MSB_STDIO_PTY the program leads a session whose controlling terminal is the
 * slave of a pseudo-terminal. The caller has the only master: what is written to it
 * is typed, Ctrl-C, Ctrl-\ and Ctrl-Z signal what is in the foreground of the guest,
 * and closing it, the caller's death too, is the hang-up: the program gets SIGHUP.
 * Reading it gives EIO, Linux's end of file, when nobody has the slave open any more.
 * docs/terminals.md has more.
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
	uint64_t output_limit_bytes;
	uint32_t rows;
	uint32_t cols;
} msb_process_options;
#define MSB_PROCESS_OPTIONS_INIT \
	{ (uint32_t)sizeof(msb_process_options), 0, 0, 0, 0, { {0, 0, 0}, {0, 0, 0}, {0, 0, 0} }, 0, \
	  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/*
 * Starts a program. Any number may run at once. Allowed while the sandbox is
 * still starting (with MSB_START_ASYNC it then waits its turn). Closing the
 * handle does not end the program; ending the sandbox does. Ownership: *out is
 * closed with msb_close.
 * Expect: EXEC (stage EXEC: sys_errno ENOENT, EACCES, ENOEXEC, …; stage CWD:
 * the working directory; EPERM for a limit above the sandbox's), STATE (draining),
 * UNSUPPORTED (another rlimit; an engine without terminals), DONE, GONE, LIMIT, TIMED_OUT, CANCELED,
 * CLOSED (msb_cancel or msb_close on the sandbox meanwhile: the program is killed).
 */
MSB_API msb_result msb_process_start(msb_handle sandbox, const msb_process_options *options, msb_handle *out,
                                     msb_error *err);

/*
 * Gives the caller's end of a pipe: which is 0 (write end of its stdin), 1 or 2
 * (read ends). Each can be taken once, then it is the caller's to close; one
 * that was never taken is closed with the handle. Works at once after an
 * asynchronous start. Of a terminal there is one end, the master, whatever which is.
 * Expect: STATE (not a pipe, or taken already).
 */
MSB_API msb_result msb_process_stdio(msb_handle process, uint32_t which, msb_os_fd *out, msb_error *err);

/*
 * Gives the terminal of a program a size in characters, 1 to 65535 each: what is in
 * its foreground gets SIGWINCH. TIOCSWINSZ on the master does the same. Blocks up to
 * 10 s. Expect: STATE (no terminal, hung up, or the program is still starting), DONE,
 * GONE, TIMED_OUT.
 */
MSB_API msb_result msb_process_resize(msb_handle process, uint32_t rows, uint32_t cols, msb_error *err);

/*
 * The program's number in its sandbox, by which the log knows it: see
 * msb_log_frame. It stays after the end; 0 while it is starting, or never ran.
 */
MSB_API msb_result msb_process_number(msb_handle process, uint64_t *out, msb_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MICROSANDBOX_PROCESS_H */
