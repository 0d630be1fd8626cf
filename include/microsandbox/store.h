/* Sandboxes by name: those that live and those that are stored. Included by microsandbox.h. */
#ifndef MICROSANDBOX_STORE_H
#define MICROSANDBOX_STORE_H

#include "base.h"
#include "sandbox.h"

#ifdef __cplusplus
extern "C" {
#endif

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
#define MSB_LIST_POOLED  2u  /* those that wait in a pool, too */

typedef struct msb_list_options {
	uint32_t size;
	uint32_t flags;
	const char *state_dir;     /* as in msb_sandbox_options */
	const char *const *labels; /* those that have all of these; NULL: all */
} msb_list_options;
#define MSB_LIST_OPTIONS_INIT { (uint32_t)sizeof(msb_list_options), 0, 0, 0 }

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

#ifdef __cplusplus
}
#endif
#endif /* MICROSANDBOX_STORE_H */
