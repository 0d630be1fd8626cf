/*
 * The calls that may take up to 10 s (probe: its start_timeout_ms), on a thread
 * of libuv's pool. There are four of those, shared with fs and dns: nothing
 * that waits for a program or for the end of a sandbox is here.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

/* ---- open({name, stateDir}), remove({name, stateDir}) ----------------- */

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

static void execute_remove(job *j)
{
	j->code = msb_sandbox_remove(j->name, j->state_dir, &j->err);
}

static napi_value result_undefined(napi_env env, job *j)
{
	napi_value value;

	(void)j;
	return napi_get_undefined(env, &value) == napi_ok ? value : NULL;
}

/* A call on the sandbox that has a name. */
static napi_value start_named(napi_env env, napi_callback_info info, void (*execute)(job *j),
                              napi_value (*result)(napi_env env, job *j))
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
	return job_start(env, j, execute, result);
}

static napi_value sandbox_open(napi_env env, napi_callback_info info)
{
	return start_named(env, info, execute_open, result_open);
}

static napi_value sandbox_remove(napi_env env, napi_callback_info info)
{
	return start_named(env, info, execute_remove, result_undefined);
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

static napi_value sandbox_info(napi_env env, napi_callback_info info)
{
	return job_start_on_handle(env, info, execute_info, result_info);
}

static napi_value sandbox_disarm(napi_env env, napi_callback_info info)
{
	return job_start_on_handle(env, info, execute_disarm, result_undefined);
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
	return job_start(env, j, execute_probe, result_info);
}

const napi_property_descriptor blocking_functions[] = {
	FUNCTION("sandboxOpen", sandbox_open),
	FUNCTION("sandboxRemove", sandbox_remove),
	FUNCTION("sandboxInfo", sandbox_info),
	FUNCTION("sandboxDisarm", sandbox_disarm),
	FUNCTION("probe", probe),
	FUNCTIONS_END,
};
