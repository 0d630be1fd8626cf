/*
 * Pools of sandboxes that are booted ahead: no call here waits.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

/* poolCreate({sandbox, poolSize, …}): gives a handle; the event ready says that it is full, or could not be filled */
static napi_value pool_create(napi_env env, napi_callback_info info)
{
	msb_sandbox_options sandbox = MSB_SANDBOX_OPTIONS_INIT;
	msb_pool_options options = MSB_POOL_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	scratch memory = {NULL};
	msb_handle handle;
	napi_value args[1], value, result = NULL;
	int present;

	if (!get_args(env, info, args, 1))
		return NULL;
	if (get_property(env, args[0], "sandbox", &value, &present) &&
	    get_sandbox_options(env, &memory, value, &sandbox) &&
	    get_uint32_property(env, args[0], "poolSize", &options.pool_size) &&
	    get_uint32_property(env, args[0], "idleSize", &options.idle_size) &&
	    get_uint32_property(env, args[0], "maxSandboxes", &options.max_sandboxes) &&
	    get_uint32_property(env, args[0], "maxBoots", &options.max_boots) &&
	    get_int64_property(env, args[0], "idleShrinkMs", &options.idle_shrink_ms)) {
		options.sandbox = &sandbox;
		options.flags = MSB_CREATE_ASYNC;
		if (msb_pool_create(&options, &handle, &err) != MSB_OK)
			throw_error(env, &err);
		else
			result = handles_open(env, handle);
	}
	scratch_free(&memory);
	return result;
}

/* poolTake(pool, options): gives a sandbox in state starting */
static napi_value pool_take(napi_env env, napi_callback_info info)
{
	msb_take_options options = MSB_TAKE_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	scratch memory = {NULL};
	msb_handle pool, handle;
	napi_value args[2], result = NULL;

	if (!get_args(env, info, args, 2) || !get_handle(env, args[0], &pool))
		return NULL;
	if (get_uint32_property(env, args[1], "flags", &options.flags) &&
	    get_bytes_property(env, &memory, args[1], "name", &options.name) &&
	    get_bytes_list_property(env, &memory, args[1], "labels", &options.labels) &&
	    get_int64_property(env, args[1], "takeTimeoutMs", &options.take_timeout_ms) &&
	    get_int64_property(env, args[1], "idleTimeoutMs", &options.idle_timeout_ms) &&
	    get_int64_property(env, args[1], "maxDurationMs", &options.max_duration_ms) &&
	    get_int64_property(env, args[1], "replaceGraceMs", &options.replace_grace_ms)) {
		options.flags |= MSB_CREATE_ASYNC;
		if (msb_pool_take(pool, &options, &handle, &err) != MSB_OK)
			throw_error(env, &err);
		else
			result = handles_open(env, handle);
	}
	scratch_free(&memory);
	return result;
}

/* poolResize(pool, size) */
static napi_value pool_resize(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle pool;
	int64_t size;
	napi_value args[2];

	if (!get_args(env, info, args, 2) || !get_handle(env, args[0], &pool) ||
	    !get_int64(env, args[1], "size", &size))
		return NULL;
	/* What does not fit is larger than any size that is allowed. */
	if (size < 0 || size > UINT32_MAX)
		size = UINT32_MAX;
	if (msb_pool_resize(pool, (uint32_t)size, &err) != MSB_OK)
		throw_error(env, &err);
	return NULL;
}

static napi_value info_of(napi_env env, const msb_pool_info *info)
{
	msb_error last = MSB_ERROR_INIT;
	napi_value object, error;

	if (napi_create_object(env, &object) != napi_ok)
		return NULL;
	set_number(env, object, "flags", info->flags);
	set_number(env, object, "size", info->pool_size);
	set_number(env, object, "ready", info->ready);
	set_number(env, object, "booting", info->booting);
	set_number(env, object, "waiting", info->waiting);
	set_number(env, object, "living", info->living);
	set_number(env, object, "failedInRow", info->failed_in_row);
	set_number(env, object, "taken", (double)info->taken);
	set_number(env, object, "takenAtOnce", (double)info->taken_at_once);
	set_number(env, object, "booted", (double)info->booted);
	set_number(env, object, "failed", (double)info->failed);
	set_number(env, object, "lost", (double)info->lost);
	last.code = info->last_code;
	last.sys_errno = info->last_errno;
	last.stage = info->last_stage;
	for (size_t i = 0; i + 1 < sizeof last.message && i < sizeof info->last_message; i++)
		last.message[i] = info->last_message[i];
	error = last.code != 0 ? error_object(env, &last) : NULL;
	if (error)
		napi_set_named_property(env, object, "lastError", error);
	return object;
}

/* poolInfo(pool) */
static napi_value pool_info(napi_env env, napi_callback_info info)
{
	msb_pool_info out = MSB_POOL_INFO_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle pool;
	napi_value args[1];

	if (!get_args(env, info, args, 1) || !get_handle(env, args[0], &pool))
		return NULL;
	if (msb_pool_info_get(pool, &out, &err) != MSB_OK) {
		throw_error(env, &err);
		return NULL;
	}
	return info_of(env, &out);
}

const napi_property_descriptor pool_functions[] = {
	FUNCTION("poolCreate", pool_create),
	FUNCTION("poolTake", pool_take),
	FUNCTION("poolResize", pool_resize),
	FUNCTION("poolInfo", pool_info),
	FUNCTIONS_END,
};
