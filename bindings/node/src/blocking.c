/*
 * The calls that may take up to 10 s (probe: its start_timeout_ms), on a thread
 * of libuv's pool. There are four of those, shared with fs and dns: nothing
 * that waits for a program or for the end of a sandbox is here.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

#include <stdlib.h>

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
	msb_sandbox_info info;
	msb_sandbox_entry *entries;
	uint32_t count;
};

static job *job_new(napi_env env)
{
	static const msb_error no_error = MSB_ERROR_INIT;
	static const msb_sandbox_options defaults = MSB_SANDBOX_OPTIONS_INIT;
	static const msb_sandbox_info no_info = MSB_SANDBOX_INFO_INIT;
	job *j = calloc(1, sizeof *j);

	if (!j) {
		throw_no_memory(env);
		return NULL;
	}
	j->err = no_error;
	j->options = defaults;
	j->info = no_info;
	return j;
}

static void job_free(job *j)
{
	scratch_free(&j->memory);
	free(j->entries);
	free(j);
}

static void on_execute(napi_env env, void *data)
{
	job *j = data;

	(void)env;
	j->execute(j);
}

/*
 * Runs while the environment is torn down too: then no value can be made, and
 * result() still has to give back what it holds.
 */
static void on_complete(napi_env env, napi_status status, void *data)
{
	job *j = data;
	napi_value value;

	(void)status; /* jobs are never cancelled */
	if (j->code == MSB_OK) {
		value = j->result(env, j);
		if (value)
			napi_resolve_deferred(env, j->deferred, value);
	} else {
		value = error_object(env, &j->err);
		if (value)
			napi_reject_deferred(env, j->deferred, value);
	}
	napi_delete_async_work(env, j->work);
	job_free(j);
}

static napi_value job_start(napi_env env, job *j)
{
	napi_value promise, name;

	if (napi_create_string_utf8(env, "microsandbox", NAPI_AUTO_LENGTH, &name) != napi_ok ||
	    napi_create_promise(env, &j->deferred, &promise) != napi_ok ||
	    napi_create_async_work(env, NULL, name, on_execute, on_complete, j, &j->work) != napi_ok) {
		job_free(j);
		return NULL;
	}
	if (napi_queue_async_work(env, j->work) != napi_ok) {
		napi_delete_async_work(env, j->work);
		job_free(j);
		return NULL;
	}
	return promise;
}

/* ---- open(name, stateDir) --------------------------------------------- */

static void execute_open(job *j)
{
	j->code = msb_sandbox_open(j->name, j->state_dir, &j->handle, &j->err);
}

static napi_value result_open(napi_env env, job *j)
{
	napi_value value = number(env, (double)j->handle);

	if (!value) {
		msb_close(j->handle);
		return NULL;
	}
	return handles_add(env, j->handle) ? value : NULL;
}

static napi_value sandbox_open(napi_env env, napi_callback_info info)
{
	napi_value args[1];
	job *j;

	if (!get_args(env, info, args, 1) || !(j = job_new(env)))
		return NULL;
	if (!get_bytes_property(env, &j->memory, args[0], "name", &j->name) ||
	    !get_bytes_property(env, &j->memory, args[0], "stateDir", &j->state_dir)) {
		job_free(j);
		return NULL;
	}
	j->execute = execute_open;
	j->result = result_open;
	return job_start(env, j);
}

/* ---- list(stateDir) --------------------------------------------------- */

static void execute_list(job *j)
{
	msb_list_options options = MSB_LIST_OPTIONS_INIT;
	uint32_t capacity = 16;

	options.state_dir = j->state_dir;
	do {
		msb_sandbox_entry *entries = realloc(j->entries, capacity * sizeof *entries);

		if (!entries) {
			j->code = j->err.code = MSB_E_LIMIT;
			return;
		}
		j->entries = entries;
		entries[0].size = (uint32_t)sizeof *entries;
		j->count = 0;
		j->code = msb_sandbox_list(&options, entries, capacity, &j->count, &j->err);
		/* Others may be starting meanwhile: leave room for some. */
		capacity = j->count + 16;
	} while (j->code == MSB_E_BUFFER && j->count < 1000000);
}

static napi_value result_list(napi_env env, job *j)
{
	return entries_array(env, j->entries, j->count);
}

static napi_value sandbox_list(napi_env env, napi_callback_info info)
{
	napi_value args[1];
	job *j;

	if (!get_args(env, info, args, 1) || !(j = job_new(env)))
		return NULL;
	if (!get_bytes_property(env, &j->memory, args[0], "stateDir", &j->state_dir)) {
		job_free(j);
		return NULL;
	}
	j->execute = execute_list;
	j->result = result_list;
	return job_start(env, j);
}

/* ---- info(handle), disarm(handle), probe(options) --------------------- */

static void execute_info(job *j)
{
	j->code = msb_sandbox_info_get(j->handle, &j->info, &j->err);
}

static void execute_disarm(job *j)
{
	j->code = msb_sandbox_disarm(j->handle, &j->err);
}

static void execute_probe(job *j)
{
	j->code = msb_probe(&j->options, &j->info, &j->err);
}

static napi_value result_info(napi_env env, job *j)
{
	return info_object(env, &j->info);
}

static napi_value result_undefined(napi_env env, job *j)
{
	napi_value value;

	(void)j;
	return napi_get_undefined(env, &value) == napi_ok ? value : NULL;
}

static napi_value sandbox_info(napi_env env, napi_callback_info info)
{
	napi_value args[1];
	job *j;

	if (!get_args(env, info, args, 1) || !(j = job_new(env)))
		return NULL;
	if (!get_handle(env, args[0], &j->handle)) {
		job_free(j);
		return NULL;
	}
	j->execute = execute_info;
	j->result = result_info;
	return job_start(env, j);
}

static napi_value sandbox_disarm(napi_env env, napi_callback_info info)
{
	napi_value args[1];
	job *j;

	if (!get_args(env, info, args, 1) || !(j = job_new(env)))
		return NULL;
	if (!get_handle(env, args[0], &j->handle)) {
		job_free(j);
		return NULL;
	}
	j->execute = execute_disarm;
	j->result = result_undefined;
	return job_start(env, j);
}

static napi_value probe(napi_env env, napi_callback_info info)
{
	napi_value args[1];
	job *j;

	if (!get_args(env, info, args, 1) || !(j = job_new(env)))
		return NULL;
	if (!get_sandbox_options(env, &j->memory, args[0], &j->options)) {
		job_free(j);
		return NULL;
	}
	j->execute = execute_probe;
	j->result = result_info;
	return job_start(env, j);
}

const napi_property_descriptor blocking_functions[] = {
	FUNCTION("sandboxOpen", sandbox_open),
	FUNCTION("sandboxList", sandbox_list),
	FUNCTION("sandboxInfo", sandbox_info),
	FUNCTION("sandboxDisarm", sandbox_disarm),
	FUNCTION("probe", probe),
	FUNCTIONS_END,
};
