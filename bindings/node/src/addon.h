/*
 * The Node-API addon: converts arguments, and nothing else. Errors are thrown
 * as plain objects {code, errno, stage, message}; lib/errors.js makes classes
 * of them. Every function runs on the thread of its JavaScript environment.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MICROSANDBOX_ADDON_H
#define MICROSANDBOX_ADDON_H

#define NAPI_VERSION 8
#include <node_api.h>
#include <stddef.h>

#include "microsandbox.h"

/* ---- convert.c: JavaScript values to C ones --------------------------- */

/* Memory of one call, freed as a whole by scratch_free. Starts as {NULL}. */
typedef struct scratch {
	struct scratch_block *blocks;
} scratch;

void *scratch_alloc(scratch *memory, size_t size); /* zeroed; NULL when out of memory */
void scratch_free(scratch *memory);

/* Each of these returns 0 with a JavaScript exception pending on a wrong type. */
int get_args(napi_env env, napi_callback_info info, napi_value *args, size_t count);
int get_handle(napi_env env, napi_value value, msb_handle *out);
int get_int64(napi_env env, napi_value value, const char *what, int64_t *out);
int get_bytes(napi_env env, scratch *memory, napi_value value, const char *what, const char **out);

/* Properties that are absent or undefined leave *out as it is. */
int get_property(napi_env env, napi_value object, const char *key, napi_value *out, int *present);
int get_int64_property(napi_env env, napi_value object, const char *key, int64_t *out);
int get_array_property(napi_env env, napi_value object, const char *key, napi_value *array, uint32_t *length,
                       int *present);
int get_uint32_property(napi_env env, napi_value object, const char *key, uint32_t *out);
int get_int64_list_property(napi_env env, scratch *memory, napi_value object, const char *key, int64_t **out,
                            uint32_t *count);
int get_bytes_property(napi_env env, scratch *memory, napi_value object, const char *key, const char **out);
int get_bytes_list_property(napi_env env, scratch *memory, napi_value object, const char *key,
                            const char *const **out);

/* ---- error.c: C errors to JavaScript values --------------------------- */

napi_value error_object(napi_env env, const msb_error *err);
void throw_error(napi_env env, const msb_error *err);
void throw_invalid(napi_env env, const char *what, const char *problem);
void throw_no_memory(napi_env env);

/* ---- handles.c: what this environment has open ------------------------ */

/*
 * A worker that ends, or an environment that is torn down, closes what it
 * opened: its sandboxes end as they would with the process.
 */
int handles_init(napi_env env);
int handles_add(napi_env env, msb_handle handle); /* 0: out of memory; the handle was closed */
napi_value handles_open(napi_env env, msb_handle handle); /* handles_add, as a number; else an exception */

/* ---- info.c: C structs to JavaScript objects -------------------------- */

void set_number(napi_env env, napi_value object, const char *key, double value);
void set_string(napi_env env, napi_value object, const char *key, const char *text);
napi_value number(napi_env env, double value);
napi_value outcome_object(napi_env env, const msb_outcome *outcome);
napi_value info_object(napi_env env, const msb_sandbox_info *info);
napi_value entries_array(napi_env env, const msb_sandbox_entry *entries, uint32_t count);

/* ---- descriptor_linux.c, descriptor_windows.c ------------------------- */

/* What the library takes for a descriptor that JavaScript has; -1 when it has none such. */
int64_t descriptor_lent(int64_t fd);

/* What JavaScript gets for a descriptor of the library's, which is the caller's from now on. */
napi_value descriptor_taken(napi_env env, msb_os_fd fd);

/* ---- job.c: calls that may take long, on a thread of libuv's pool ------ */

/* Arguments and results of every kind of call; each uses its own. */
typedef struct job job;

struct job {
	void (*execute)(job *j);                     /* on a pool thread */
	napi_value (*result)(napi_env env, job *j);  /* on the JavaScript thread */
	msb_result code;
	msb_error err;
	scratch memory;
	napi_deferred deferred;
	napi_async_work work;

	msb_handle handle; /* in, or out of open until the caller has it */
	const char *name, *state_dir;
	msb_sandbox_options options;
	msb_list_options list;
	msb_logs_options logs;
	msb_os_fd fd;
	msb_sandbox_info info;
	msb_sandbox_entry *entries;
	msb_metrics *metrics;
	uint32_t count;
	char *text;
	uint32_t length, orphans;
};

job *job_new(napi_env env); /* NULL with an exception pending */
void job_free(job *j);      /* of one that was not started */

/* Gives the promise, or NULL with an exception pending; j is freed in both cases. */
napi_value job_start(napi_env env, job *j, void (*execute)(job *j), napi_value (*result)(napi_env env, job *j));

/* job_start of a call whose only argument is a handle. */
napi_value job_start_on_handle(napi_env env, napi_callback_info info, void (*execute)(job *j),
                               napi_value (*result)(napi_env env, job *j));

/*
 * Calls fill with more and more elements until all fit: others may be starting
 * meanwhile. size is that of an element, whose first field is it. The elements are
 * the caller's to free; NULL when there is no memory.
 */
void *job_fill(job *j, size_t size, msb_result (*fill)(job *j, void *items, uint32_t capacity));

/* ---- the functions, one table per file, ended by a NULL name ---------- */

extern const napi_property_descriptor sandbox_functions[];
extern const napi_property_descriptor process_functions[];
extern const napi_property_descriptor handle_functions[];
extern const napi_property_descriptor blocking_functions[];
extern const napi_property_descriptor listing_functions[];
extern const napi_property_descriptor metrics_functions[];
extern const napi_property_descriptor logs_functions[];
extern const napi_property_descriptor pool_functions[];
extern const napi_property_descriptor descriptor_functions[];

#define FUNCTION(name, callback) { name, NULL, callback, NULL, NULL, NULL, napi_enumerable, NULL }
#define FUNCTIONS_END { NULL, NULL, NULL, NULL, NULL, NULL, napi_default, NULL }

/* Fills in sandbox options; also used by probe. Absent properties stay 0. */
int get_sandbox_options(napi_env env, scratch *memory, napi_value object, msb_sandbox_options *out);
int get_mounts(napi_env env, scratch *memory, napi_value object, msb_sandbox_options *out);

#endif
