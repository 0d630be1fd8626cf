/*
 * What exists under a state directory, on a thread of libuv's pool: it may hold
 * many sandboxes, and dead ones are swept on the way.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

#include <stdlib.h>

/* ---- list({stateDir, flags, labels}) ---------------------------------- */

static msb_result fill_list(job *j, void *items, uint32_t capacity)
{
	return msb_sandbox_list(&j->list, items, capacity, &j->count, &j->err);
}

static void execute_list(job *j)
{
	j->entries = job_fill(j, sizeof *j->entries, fill_list);
}

static napi_value result_list(napi_env env, job *j)
{
	return entries_array(env, j->entries, j->count);
}

static napi_value sandbox_list(napi_env env, napi_callback_info info)
{
	int64_t flags = 0;
	napi_value args[1];
	job *j;

	if (!get_args(env, info, args, 1) || !(j = job_new(env)))
		return NULL;
	if (!get_bytes_property(env, &j->memory, args[0], "stateDir", &j->list.state_dir) ||
	    !get_int64_property(env, args[0], "flags", &flags) ||
	    !get_bytes_list_property(env, &j->memory, args[0], "labels", &j->list.labels)) {
		job_free(j);
		return NULL;
	}
	j->list.flags = (uint32_t)flags;
	return job_start(env, j, execute_list, result_list);
}

/* ---- audit({stateDir}): {text, orphans} ------------------------------- */

static void execute_audit(job *j)
{
	uint32_t capacity = 4096;

	do {
		char *text = realloc(j->text, capacity);

		if (!text) {
			j->code = j->err.code = MSB_E_LIMIT;
			return;
		}
		j->text = text;
		j->code = msb_audit(j->state_dir, text, capacity, &j->length, &j->orphans, &j->err);
		/* Others may be starting meanwhile; 4096 bytes are some tens of lines. */
		capacity = j->length + 4096;
	} while (j->code == MSB_E_BUFFER && j->length < 100000000);
}

static napi_value result_audit(napi_env env, job *j)
{
	napi_value object;

	if (napi_create_object(env, &object) != napi_ok)
		return NULL;
	set_string(env, object, "text", j->text);
	set_number(env, object, "orphans", j->orphans);
	return object;
}

static napi_value audit(napi_env env, napi_callback_info info)
{
	napi_value args[1];
	job *j;

	if (!get_args(env, info, args, 1) || !(j = job_new(env)))
		return NULL;
	if (!get_bytes_property(env, &j->memory, args[0], "stateDir", &j->state_dir)) {
		job_free(j);
		return NULL;
	}
	return job_start(env, j, execute_audit, result_audit);
}

const napi_property_descriptor listing_functions[] = {
	FUNCTION("sandboxList", sandbox_list),
	FUNCTION("audit", audit),
	FUNCTIONS_END,
};
