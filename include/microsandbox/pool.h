/* Sandboxes that are booted ahead. Included by microsandbox.h. */
#ifndef MICROSANDBOX_POOL_H
#define MICROSANDBOX_POOL_H

#include "base.h"
#include "sandbox.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A pool keeps sandboxes booted that have no tenant yet. msb_pool_take gives the
 * next one a name and hands it out: from then on it is a sandbox like any other,
 * and is never given back. The pool boots its successor meanwhile. What waits has
 * no programs, takes none, is listed only with MSB_LIST_POOLED, and ends with its
 * owner or pool. What has died or does not answer is replaced, never handed out.
 *
 *   field           0 means
 *   sandbox         all defaults. Its name must be NULL, its flags 0: both are
 *                   given at the take. Sources of mounts are opened once, now
 *   pool_size       1; ready sandboxes to have, at most 1024
 *   idle_size       none to keep while nobody takes one
 *   max_sandboxes   any number; else how many live at a time, taken ones too: a
 *                   take waits for its turn
 *   max_boots       one for each CPU, at least 2; how many boot at a time
 *   idle_shrink_ms  never; else: when none was taken for that long the pool
 *                   shrinks to idle_size, until the next take
 */
typedef struct msb_pool_options {
	uint32_t size;
	uint32_t flags;                      /* MSB_CREATE_ASYNC, or 0 */
	const msb_sandbox_options *sandbox;  /* what all of them have in common */
	uint32_t pool_size;
	uint32_t idle_size;
	uint32_t max_sandboxes;
	uint32_t max_boots;
	int64_t idle_shrink_ms;
} msb_pool_options;
#define MSB_POOL_OPTIONS_INIT { (uint32_t)sizeof(msb_pool_options), 0, 0, 0, 0, 0, 0, 0 }

/*
 *   field             0 means
 *   name              generated, "msb-" and 12 hex digits
 *   labels            none beside the pool's
 *   take_timeout_ms   30000, to wait for a sandbox
 *   idle_timeout_ms, max_duration_ms
 *                     as in the pool's options; negative = none. Both count from
 *                     the take
 *   replace_grace_ms  10000; with MSB_CREATE_REPLACE
 */
typedef struct msb_take_options {
	uint32_t size;
	uint32_t flags;  /* MSB_CREATE_ASYNC, MSB_CREATE_DETACHED, MSB_CREATE_REPLACE */
	const char *name;
	const char *const *labels;
	int64_t take_timeout_ms;
	int64_t idle_timeout_ms;
	int64_t max_duration_ms;
	int64_t replace_grace_ms;
} msb_take_options;
#define MSB_TAKE_OPTIONS_INIT { (uint32_t)sizeof(msb_take_options), 0, 0, 0, 0, 0, 0, 0 }

/* msb_pool_info.flags */
#define MSB_POOL_SHRUNKEN 1u  /* nobody has taken one for idle_shrink_ms */
#define MSB_POOL_UNFILLED 2u  /* a boot failed before the pool was full for the first time */

typedef struct msb_pool_info {
	uint32_t size;
	uint32_t flags;          /* MSB_POOL_* */
	uint32_t pool_size;      /* as asked for */
	uint32_t ready;
	uint32_t booting;
	uint32_t waiting;        /* takes that wait */
	uint32_t living;         /* taken ones that this program still has */
	uint32_t failed_in_row;  /* boots that have failed since the last good one */
	uint64_t taken;          /* since the pool was made, as all below */
	uint64_t taken_at_once;  /* of these, without waiting */
	uint64_t booted;
	uint64_t failed;         /* boots */
	uint64_t lost;           /* ended while they waited */
	int32_t last_code;       /* of the last boot that failed, 0 when none did: MSB_E_* */
	int32_t last_errno;
	uint32_t last_stage;     /* MSB_STAGE_* */
	uint32_t reserved;
	char last_message[496];
} msb_pool_info;
#define MSB_POOL_INFO_INIT \
	{ (uint32_t)sizeof(msb_pool_info), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0} }

/*
 * Makes a pool. Blocks until it is full for the first time, or not at all with
 * MSB_CREATE_ASYNC: then MSB_EVENT_READY says that it is full or that a boot has
 * failed, which msb_pool_info_get and the takes tell of. A boot that fails later
 * is tried again after a pause of 100 ms that doubles up to 30 s. On failure
 * nothing is left and *out is 0. options may be NULL. Ownership: *out is closed
 * with msb_close, which ends what nobody has taken; MSB_EVENT_DONE says that
 * nothing of it is left. Expect: as msb_sandbox_create.
 */
MSB_API msb_result msb_pool_create(const msb_pool_options *options, msb_handle *out, msb_error *err);

/*
 * Takes a sandbox: at once when one is ready, else as soon as one has booted, in
 * the order of the calls. Blocks up to take_timeout_ms, or not at all with
 * MSB_CREATE_ASYNC: *out is then in state starting, as from msb_sandbox_create.
 * msb_cancel and msb_close of the pool end the waiting. When the name is taken the
 * sandbox goes back to the pool. options may be NULL. Ownership: *out is closed
 * with msb_close; it outlives the pool.
 * Expect: EXISTS, TIMED_OUT, CANCELED, CLOSED, and as msb_sandbox_create when no
 * sandbox can be booted.
 */
MSB_API msb_result msb_pool_take(msb_handle pool, const msb_take_options *options, msb_handle *out, msb_error *err);

/* Changes pool_size, 0 to 1024. Boots and ends what that means in the background. */
MSB_API msb_result msb_pool_resize(msb_handle pool, uint32_t pool_size, msb_error *err);

/* What the pool has and has done. Never blocks. */
MSB_API msb_result msb_pool_info_get(msb_handle pool, msb_pool_info *out, msb_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MICROSANDBOX_POOL_H */
