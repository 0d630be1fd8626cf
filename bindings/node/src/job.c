/*
 * Calls on a thread of libuv's pool, with a promise for the result.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

#include <stdlib.h>

job *job_new(napi_env env)
{
	static const msb_error no_error = MSB_ERROR_INIT;
	static const msb_sandbox_options defaults = MSB_SANDBOX_OPTIONS_INIT;
	static const msb_list_options all = MSB_LIST_OPTIONS_INIT;
	static const msb_logs_options whole = MSB_LOGS_OPTIONS_INIT;
	static const msb_sandbox_info no_info = MSB_SANDBOX_INFO_INIT;
	job *j = calloc(1, sizeof *j);

	if (!j) {
		throw_no_memory(env);
		return NULL;
	}
	j->err = no_error;
	j->options = defaults;
	j->list = all;
	j->logs = whole;
	j->info = no_info;
	return j;
}

void job_free(job *j)
{
	scratch_free(&j->memory);
	free(j->entries);
	free(j->metrics);
	free(j->text);
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

napi_value job_start(napi_env env, job *j, void (*execute)(job *j), napi_value (*result)(napi_env env, job *j))
{
	napi_value promise, name;

	j->execute = execute;
	j->result = result;
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

napi_value job_start_on_handle(napi_env env, napi_callback_info info, void (*execute)(job *j),
                               napi_value (*result)(napi_env env, job *j))
{
	napi_value args[1];
	job *j;

	if (!get_args(env, info, args, 1) || !(j = job_new(env)))
		return NULL;
	if (!get_handle(env, args[0], &j->handle)) {
		job_free(j);
		return NULL;
	}
	return job_start(env, j, execute, result);
}

void *job_fill(job *j, size_t size, msb_result (*fill)(job *j, void *items, uint32_t capacity))
{
	void *items = NULL;
	uint32_t capacity = 16;

	do {
		free(items);
		items = malloc(capacity * size);
		if (!items) {
			j->code = j->err.code = MSB_E_LIMIT;
			return NULL;
		}
		*(uint32_t *)items = (uint32_t)size;
		j->count = 0;
		j->code = fill(j, items, capacity);
		capacity = j->count + 16;
	} while (j->code == MSB_E_BUFFER && j->count < 1000000);
	return items;
}
