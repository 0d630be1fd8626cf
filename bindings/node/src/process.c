/*
 * Programs in a sandbox.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

/* stdio: an array of three [kind, fd] pairs */
static int get_stdio(napi_env env, napi_value object, msb_stdio out[3])
{
	napi_value array, pair, value;
	int64_t kind;
	int present;

	if (!get_property(env, object, "stdio", &array, &present))
		return 0;
	for (uint32_t i = 0; present && i < 3; i++) {
		if (napi_get_element(env, array, i, &pair) != napi_ok ||
		    napi_get_element(env, pair, 0, &value) != napi_ok ||
		    !get_int64(env, value, "stdio kind", &kind) ||
		    napi_get_element(env, pair, 1, &value) != napi_ok ||
		    !get_int64(env, value, "stdio fd", &out[i].fd)) {
			/* Keeps an exception that is pending already. */
			napi_throw_type_error(env, NULL, "stdio must be an array of pairs");
			return 0;
		}
		out[i].kind = (uint32_t)kind;
	}
	return 1;
}

static int get_process_options(napi_env env, scratch *memory, napi_value object, msb_process_options *out)
{
	int64_t clear_env = 0;

	if (!get_bytes_list_property(env, memory, object, "argv", &out->argv) ||
	    !get_bytes_list_property(env, memory, object, "env", &out->env) ||
	    !get_bytes_property(env, memory, object, "cwd", &out->cwd) ||
	    !get_int64_property(env, object, "clearEnv", &clear_env) ||
	    !get_int64_property(env, object, "startTimeoutMs", &out->start_timeout_ms) ||
	    !get_stdio(env, object, out->stdio))
		return 0;
	out->flags = MSB_START_ASYNC | (clear_env ? MSB_START_CLEAR_ENV : 0);
	return 1;
}

/* processStart(sandbox, options): a handle in state starting. */
static napi_value process_start(napi_env env, napi_callback_info info)
{
	msb_process_options options = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	scratch memory = {NULL};
	msb_handle sandbox, handle;
	napi_value args[2], result = NULL;

	if (!get_args(env, info, args, 2) || !get_handle(env, args[0], &sandbox))
		return NULL;
	if (get_process_options(env, &memory, args[1], &options)) {
		if (msb_process_start(sandbox, &options, &handle, &err) != MSB_OK)
			throw_error(env, &err);
		else if (!handles_add(env, handle))
			throw_no_memory(env);
		else
			result = number(env, (double)handle);
	}
	scratch_free(&memory);
	return result;
}

/* processStdio(process, which): the caller's end of a pipe; the caller closes it. */
static napi_value process_stdio(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle handle;
	msb_os_fd fd;
	int64_t which;
	napi_value args[2];

	if (!get_args(env, info, args, 2) || !get_handle(env, args[0], &handle) ||
	    !get_int64(env, args[1], "which", &which))
		return NULL;
	if (msb_process_stdio(handle, (uint32_t)which, &fd, &err) != MSB_OK) {
		throw_error(env, &err);
		return NULL;
	}
	return number(env, fd);
}

const napi_property_descriptor process_functions[] = {
	FUNCTION("processStart", process_start),
	FUNCTION("processStdio", process_stdio),
	FUNCTIONS_END,
};
