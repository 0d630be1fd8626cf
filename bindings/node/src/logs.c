/*
 * Logs, on a thread of libuv's pool, since they are files.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

static void execute_logs(job *j)
{
	j->code = msb_logs_open(j->name, j->state_dir, &j->logs, &j->fd, &j->err);
}

static napi_value result_logs(napi_env env, job *j)
{
	return descriptor_taken(env, j->fd);
}

/*
 * logsOpen({name, stateDir, flags, sources, tailLines, sinceUnixMs, program}): a
 * descriptor with frames; the caller closes it.
 */
static napi_value logs_open(napi_env env, napi_callback_info info)
{
	int64_t program = 0;
	napi_value args[1];
	job *j;

	if (!get_args(env, info, args, 1) || !(j = job_new(env)))
		return NULL;
	if (!get_bytes_property(env, &j->memory, args[0], "name", &j->name) ||
	    !get_bytes_property(env, &j->memory, args[0], "stateDir", &j->state_dir) ||
	    !get_uint32_property(env, args[0], "flags", &j->logs.flags) ||
	    !get_uint32_property(env, args[0], "sources", &j->logs.sources) ||
	    !get_int64_property(env, args[0], "tailLines", &j->logs.tail_lines) ||
	    !get_int64_property(env, args[0], "sinceUnixMs", &j->logs.since_unix_ms) ||
	    !get_int64_property(env, args[0], "program", &program)) {
		job_free(j);
		return NULL;
	}
	if (program < 0) {
		job_free(j);
		throw_invalid(env, "program", "must not be negative");
		return NULL;
	}
	j->logs.program = (uint64_t)program;
	j->logs.flags |= MSB_LOGS_OVERLAPPED;
	return job_start(env, j, execute_logs, result_logs);
}

const napi_property_descriptor logs_functions[] = {
	FUNCTION("logsOpen", logs_open),
	FUNCTIONS_END,
};
