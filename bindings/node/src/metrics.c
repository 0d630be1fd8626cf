/*
 * Metrics: the last samples, on a thread of libuv's pool, since they are read
 * from a file.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

#include <stdlib.h>

static napi_value metrics_object(napi_env env, const msb_metrics *metrics)
{
	napi_value object;

	if (napi_create_object(env, &object) != napi_ok)
		return NULL;
	set_string(env, object, "name", metrics->name);
	set_number(env, object, "pid", metrics->pid);
	set_number(env, object, "known", metrics->known);
	set_number(env, object, "sampledUnixMs", (double)metrics->sampled_unix_ms);
	set_number(env, object, "uptimeNs", (double)metrics->uptime_ns);
	set_number(env, object, "cpuTimeNs", (double)metrics->cpu_time_ns);
	set_number(env, object, "cpuPermille", metrics->cpu_permille);
	set_number(env, object, "programs", metrics->programs);
	set_number(env, object, "memoryUsedBytes", (double)metrics->memory_used_bytes);
	set_number(env, object, "memoryPeakBytes", (double)metrics->memory_peak_bytes);
	set_number(env, object, "memoryLimitBytes", (double)metrics->memory_limit_bytes);
	set_number(env, object, "overlayUsedBytes", (double)metrics->overlay_used_bytes);
	set_number(env, object, "overlayLimitBytes", (double)metrics->overlay_limit_bytes);
	set_number(env, object, "diskReadBytes", (double)metrics->disk_read_bytes);
	set_number(env, object, "diskWrittenBytes", (double)metrics->disk_written_bytes);
	set_number(env, object, "netReceivedBytes", (double)metrics->net_received_bytes);
	set_number(env, object, "netSentBytes", (double)metrics->net_sent_bytes);
	return object;
}

/* ---- sandboxMetrics(handle) ------------------------------------------- */

static void execute_metrics(job *j)
{
	static const msb_metrics none = MSB_METRICS_INIT;

	j->metrics = malloc(sizeof *j->metrics);
	if (!j->metrics) {
		j->code = j->err.code = MSB_E_LIMIT;
		return;
	}
	*j->metrics = none;
	j->code = msb_sandbox_metrics(j->handle, j->metrics, &j->err);
}

static napi_value result_metrics(napi_env env, job *j)
{
	return metrics_object(env, j->metrics);
}

static napi_value sandbox_metrics(napi_env env, napi_callback_info info)
{
	return job_start_on_handle(env, info, execute_metrics, result_metrics);
}

/* ---- metricsList({stateDir}) ------------------------------------------ */

static msb_result fill_metrics(job *j, void *items, uint32_t capacity)
{
	return msb_metrics_list(j->state_dir, items, capacity, &j->count, &j->err);
}

static void execute_metrics_list(job *j)
{
	j->metrics = job_fill(j, sizeof *j->metrics, fill_metrics);
}

static napi_value result_metrics_list(napi_env env, job *j)
{
	napi_value array, object;

	if (napi_create_array_with_length(env, j->count, &array) != napi_ok)
		return NULL;
	for (uint32_t i = 0; i < j->count; i++) {
		object = metrics_object(env, &j->metrics[i]);
		if (!object)
			return NULL;
		napi_set_element(env, array, i, object);
	}
	return array;
}

static napi_value metrics_list(napi_env env, napi_callback_info info)
{
	napi_value args[1];
	job *j;

	if (!get_args(env, info, args, 1) || !(j = job_new(env)))
		return NULL;
	if (!get_bytes_property(env, &j->memory, args[0], "stateDir", &j->state_dir)) {
		job_free(j);
		return NULL;
	}
	return job_start(env, j, execute_metrics_list, result_metrics_list);
}

const napi_property_descriptor metrics_functions[] = {
	FUNCTION("sandboxMetrics", sandbox_metrics),
	FUNCTION("metricsList", metrics_list),
	FUNCTIONS_END,
};
