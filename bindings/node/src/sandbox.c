/*
 * Sandboxes: the calls that return at once.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

int get_sandbox_options(napi_env env, scratch *memory, napi_value object, msb_sandbox_options *out)
{
	int64_t flags = 0, engine = 0, root_kind = 0, memory_bytes = 0, overlay_bytes = 0, log_bytes = 0;

	if (!get_bytes_property(env, memory, object, "name", &out->name) ||
	    !get_bytes_property(env, memory, object, "msbPath", &out->msb_path) ||
	    !get_bytes_property(env, memory, object, "stateDir", &out->state_dir) ||
	    !get_bytes_property(env, memory, object, "rootPath", &out->root_path) ||
	    !get_bytes_property(env, memory, object, "kernelPath", &out->kernel_path) ||
	    !get_bytes_list_property(env, memory, object, "labels", &out->labels) ||
	    !get_int64_property(env, object, "flags", &flags) ||
	    !get_int64_property(env, object, "engine", &engine) ||
	    !get_int64_property(env, object, "rootKind", &root_kind) ||
	    !get_int64_property(env, object, "memoryBytes", &memory_bytes) ||
	    !get_int64_property(env, object, "overlayBytes", &overlay_bytes) ||
	    !get_int64_property(env, object, "logMaxBytes", &log_bytes) ||
	    !get_int64_property(env, object, "startTimeoutMs", &out->start_timeout_ms) ||
	    !get_int64_property(env, object, "stopGraceMs", &out->stop_grace_ms) ||
	    !get_int64_property(env, object, "replaceGraceMs", &out->replace_grace_ms) ||
	    !get_int64_property(env, object, "idleTimeoutMs", &out->idle_timeout_ms) ||
	    !get_int64_property(env, object, "maxDurationMs", &out->max_duration_ms) ||
	    !get_int64_property(env, object, "metricsIntervalMs", &out->metrics_interval_ms) ||
	    !get_uint32_property(env, object, "cpuPermille", &out->cpu_permille) ||
	    !get_uint32_property(env, object, "cpuWeight", &out->cpu_weight) ||
	    !get_int64_property(env, object, "cpuTimeLimitMs", &out->cpu_time_limit_ms) ||
	    !get_uint32_property(env, object, "maxProcesses", &out->max_processes) ||
	    !get_uint32_property(env, object, "maxOpenFiles", &out->max_open_files) ||
	    !get_mounts(env, memory, object, out))
		return 0;
	if (memory_bytes < 0 || overlay_bytes < 0 || log_bytes < 0) {
		throw_invalid(env, memory_bytes < 0 ? "memory" : overlay_bytes < 0 ? "overlay" : "logMax",
		              "must not be negative");
		return 0;
	}
	out->flags = (uint32_t)flags;
	out->engine = (uint32_t)engine;
	out->root_kind = (uint32_t)root_kind;
	out->memory_bytes = (uint64_t)memory_bytes;
	out->overlay_bytes = (uint64_t)overlay_bytes;
	out->log_max_bytes = (uint64_t)log_bytes;
	return 1;
}

typedef msb_result begin(const msb_sandbox_options *options, msb_handle *out, msb_error *err);

/* Gives a handle in state starting. */
static napi_value begin_sandbox(napi_env env, napi_callback_info info, begin *with)
{
	msb_sandbox_options options = MSB_SANDBOX_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	scratch memory = {NULL};
	msb_handle handle;
	napi_value args[1], result = NULL;

	if (!get_args(env, info, args, 1))
		return NULL;
	if (get_sandbox_options(env, &memory, args[0], &options)) {
		options.flags |= MSB_CREATE_ASYNC;
		if (with(&options, &handle, &err) != MSB_OK)
			throw_error(env, &err);
		else
			result = handles_open(env, handle);
	}
	scratch_free(&memory);
	return result;
}

/* sandboxCreate(options) */
static napi_value sandbox_create(napi_env env, napi_callback_info info)
{
	return begin_sandbox(env, info, msb_sandbox_create);
}

/* sandboxStart(options): a stored one */
static napi_value sandbox_start(napi_env env, napi_callback_info info)
{
	return begin_sandbox(env, info, msb_sandbox_start);
}

/* sandboxPid(handle) */
static napi_value sandbox_pid(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle handle;
	int32_t pid;
	napi_value args[1], result;

	if (!get_args(env, info, args, 1) || !get_handle(env, args[0], &handle))
		return NULL;
	if (msb_sandbox_pid(handle, &pid, &err) != MSB_OK) {
		throw_error(env, &err);
		return NULL;
	}
	return napi_create_int32(env, pid, &result) == napi_ok ? result : NULL;
}

/* sandboxName(handle) */
static napi_value sandbox_name(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle handle;
	uint32_t length;
	char name[136];
	napi_value args[1], result;

	if (!get_args(env, info, args, 1) || !get_handle(env, args[0], &handle))
		return NULL;
	if (msb_sandbox_name(handle, name, sizeof name, &length, &err) != MSB_OK) {
		throw_error(env, &err);
		return NULL;
	}
	return napi_create_string_utf8(env, name, length, &result) == napi_ok ? result : NULL;
}

typedef msb_result request(msb_handle sandbox, int64_t time_ms, msb_error *err);

static napi_value send_request(napi_env env, napi_callback_info info, request *send, const char *what)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle handle;
	int64_t time_ms;
	napi_value args[2];

	if (get_args(env, info, args, 2) && get_handle(env, args[0], &handle) &&
	    get_int64(env, args[1], what, &time_ms) && send(handle, time_ms, &err) != MSB_OK)
		throw_error(env, &err);
	return NULL;
}

/* sandboxDrain(handle, deadlineMs) */
static napi_value sandbox_drain(napi_env env, napi_callback_info info)
{
	return send_request(env, info, msb_sandbox_drain, "deadline");
}

/* sandboxStop(handle, graceMs) */
static napi_value sandbox_stop(napi_env env, napi_callback_info info)
{
	return send_request(env, info, msb_sandbox_stop, "grace");
}

const napi_property_descriptor sandbox_functions[] = {
	FUNCTION("sandboxCreate", sandbox_create),
	FUNCTION("sandboxStart", sandbox_start),
	FUNCTION("sandboxPid", sandbox_pid),
	FUNCTION("sandboxName", sandbox_name),
	FUNCTION("sandboxDrain", sandbox_drain),
	FUNCTION("sandboxStop", sandbox_stop),
	FUNCTIONS_END,
};
