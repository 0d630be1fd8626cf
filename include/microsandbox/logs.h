/* What sandboxes and their programs say. Included by microsandbox.h. */
#ifndef MICROSANDBOX_LOGS_H
#define MICROSANDBOX_LOGS_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* msb_logs_options.flags */
#define MSB_LOGS_FOLLOW     1u  /* go on until the sandbox ends */
#define MSB_LOGS_OVERLAPPED 2u  /* Windows: the handle takes overlapped I/O only; elsewhere no effect */

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
	uint64_t program;       /* only of this one (msb_process_number); 0 = of all and the supervisor */
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

#ifdef __cplusplus
}
#endif
#endif /* MICROSANDBOX_LOGS_H */
