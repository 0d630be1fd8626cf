/*
 * C structs to JavaScript objects, numbers for numbers: names are given by
 * lib/names.js. 64-bit counts become Numbers, exact below 2^53.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

#include <string.h>

napi_value number(napi_env env, double value)
{
	napi_value out;

	return napi_create_double(env, value, &out) == napi_ok ? out : NULL;
}

void set_number(napi_env env, napi_value object, const char *key, double value)
{
	napi_value v = number(env, value);

	if (v)
		napi_set_named_property(env, object, key, v);
}

void set_string(napi_env env, napi_value object, const char *key, const char *text)
{
	napi_value value;

	if (napi_create_string_utf8(env, text, strlen(text), &value) == napi_ok)
		napi_set_named_property(env, object, key, value);
}

napi_value outcome_object(napi_env env, const msb_outcome *outcome)
{
	napi_value object;

	if (napi_create_object(env, &object) != napi_ok)
		return NULL;
	set_number(env, object, "cause", outcome->cause);
	set_number(env, object, "exitCode", outcome->exit_code);
	set_number(env, object, "signal", outcome->signal);
	set_number(env, object, "wallTimeNs", (double)outcome->wall_time_ns);
	set_number(env, object, "cpuTimeNs", (double)outcome->cpu_time_ns);
	set_number(env, object, "memoryPeakBytes", (double)outcome->memory_peak_bytes);
	set_number(env, object, "limitsHit", outcome->limits_hit);
	return object;
}

napi_value info_object(napi_env env, const msb_sandbox_info *info)
{
	napi_value object;

	if (napi_create_object(env, &object) != napi_ok)
		return NULL;
	set_number(env, object, "state", info->state);
	set_number(env, object, "engine", info->engine);
	set_number(env, object, "flags", info->flags);
	set_number(env, object, "pid", info->pid);
	set_number(env, object, "programs", info->programs);
	set_number(env, object, "memoryBytes", (double)info->memory_bytes);
	set_number(env, object, "overlayBytes", (double)info->overlay_bytes);
	set_number(env, object, "createdUnixMs", (double)info->created_unix_ms);
	set_string(env, object, "receipt", info->receipt);
	set_number(env, object, "cpuPermille", info->cpu_permille);
	set_number(env, object, "cpuWeight", info->cpu_weight);
	set_number(env, object, "cpuTimeLimitMs", (double)info->cpu_time_limit_ms);
	set_number(env, object, "maxProcesses", info->max_processes);
	set_number(env, object, "maxOpenFiles", info->max_open_files);
	return object;
}

napi_value entries_array(napi_env env, const msb_sandbox_entry *entries, uint32_t count)
{
	napi_value array, object;

	if (napi_create_array_with_length(env, count, &array) != napi_ok)
		return NULL;
	for (uint32_t i = 0; i < count; i++) {
		if (napi_create_object(env, &object) != napi_ok)
			return NULL;
		set_string(env, object, "name", entries[i].name);
		set_number(env, object, "pid", entries[i].pid);
		set_number(env, object, "state", entries[i].state);
		set_number(env, object, "engine", entries[i].engine);
		set_number(env, object, "flags", entries[i].flags);
		set_number(env, object, "lastCause", entries[i].last_cause);
		set_string(env, object, "labels", entries[i].labels);
		set_number(env, object, "createdUnixMs", (double)entries[i].created_unix_ms);
		napi_set_element(env, array, i, object);
	}
	return array;
}
