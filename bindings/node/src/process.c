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
		if (kind == MSB_STDIO_FD)
			out[i].fd = descriptor_lent(out[i].fd);
	}
	return 1;
}

/* groups: an array of ids */
static int get_groups(napi_env env, scratch *memory, napi_value object, msb_process_options *out)
{
	int64_t *given = NULL;
	uint32_t *ids, count = 0;

	if (!get_int64_list_property(env, memory, object, "groups", &given, &count))
		return 0;
	ids = scratch_alloc(memory, (size_t)count * sizeof *ids);
	if (!ids) {
		throw_no_memory(env);
		return 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (given[i] < 0 || given[i] > UINT32_MAX) {
			throw_invalid(env, "groups", "must hold numbers from 0 to 4294967295");
			return 0;
		}
		ids[i] = (uint32_t)given[i];
	}
	out->groups = count ? ids : NULL;
	out->group_count = count;
	return 1;
}

/* rlimits: resource, soft and hard limit of each, one after another; a negative limit is none */
static int get_rlimits(napi_env env, scratch *memory, napi_value object, msb_process_options *out)
{
	int64_t *given = NULL;
	msb_rlimit *limits;
	uint32_t count = 0;

	if (!get_int64_list_property(env, memory, object, "rlimits", &given, &count))
		return 0;
	limits = scratch_alloc(memory, (size_t)count / 3 * sizeof *limits);
	if (!limits) {
		throw_no_memory(env);
		return 0;
	}
	for (uint32_t i = 0; i < count / 3; i++, given += 3) {
		if (given[0] < 0 || given[0] > UINT32_MAX) {
			throw_invalid(env, "rlimits", "name an unknown resource");
			return 0;
		}
		limits[i].resource = (uint32_t)given[0];
		limits[i].soft = given[1] < 0 ? UINT64_MAX : (uint64_t)given[1];
		limits[i].hard = given[2] < 0 ? UINT64_MAX : (uint64_t)given[2];
	}
	out->rlimits = count / 3 ? limits : NULL;
	out->rlimit_count = count / 3;
	return 1;
}

/* uid, gid, groups, umask, rlimits, wallLimitMs, outputLimitBytes */
static int get_identity_and_limits(napi_env env, scratch *memory, napi_value object, msb_process_options *out)
{
	napi_value value;
	int has_umask;
	int64_t output_bytes = 0;

	if (!get_uint32_property(env, object, "uid", &out->uid) ||
	    !get_uint32_property(env, object, "gid", &out->gid) ||
	    !get_groups(env, memory, object, out) ||
	    !get_property(env, object, "umask", &value, &has_umask) ||
	    !get_uint32_property(env, object, "umask", &out->umask) ||
	    !get_rlimits(env, memory, object, out) ||
	    !get_int64_property(env, object, "wallLimitMs", &out->wall_limit_ms) ||
	    !get_int64_property(env, object, "outputLimitBytes", &output_bytes))
		return 0;
	out->output_limit_bytes = (uint64_t)output_bytes; /* positive: the caller has checked */
	if (has_umask)
		out->flags |= MSB_START_UMASK;
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
	    !get_uint32_property(env, object, "rows", &out->rows) ||
	    !get_uint32_property(env, object, "cols", &out->cols) ||
	    !get_stdio(env, object, out->stdio))
		return 0;
	out->flags = MSB_START_ASYNC | MSB_START_OVERLAPPED | (clear_env ? MSB_START_CLEAR_ENV : 0);
	if (!get_identity_and_limits(env, memory, object, out))
		return 0;
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
		else
			result = handles_open(env, handle);
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
	return descriptor_taken(env, fd);
}

/* processResize(process, rows, cols) */
static napi_value process_resize(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle handle;
	int64_t rows, cols;
	napi_value args[3];

	if (!get_args(env, info, args, 3) || !get_handle(env, args[0], &handle) ||
	    !get_int64(env, args[1], "rows", &rows) || !get_int64(env, args[2], "cols", &cols))
		return NULL;
	if (msb_process_resize(handle, (uint32_t)rows, (uint32_t)cols, &err) != MSB_OK)
		throw_error(env, &err);
	return NULL;
}

/* processNumber(process): what the log calls it; 0 while it is starting. */
static napi_value process_number(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle handle;
	uint64_t program;
	napi_value args[1];

	if (!get_args(env, info, args, 1) || !get_handle(env, args[0], &handle))
		return NULL;
	if (msb_process_number(handle, &program, &err) != MSB_OK) {
		throw_error(env, &err);
		return NULL;
	}
	return number(env, (double)program);
}

const napi_property_descriptor process_functions[] = {
	FUNCTION("processStart", process_start),
	FUNCTION("processStdio", process_stdio),
	FUNCTION("processResize", process_resize),
	FUNCTION("processNumber", process_number),
	FUNCTIONS_END,
};
