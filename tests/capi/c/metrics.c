/* Samples of living sandboxes. */
#include "test.h"

#include <poll.h>

/* Polls for the first sample after `after`: the interval is 10 ms, the limit 20 s. */
static void next_sample(msb_handle s, msb_metrics *out, int64_t after)
{
	msb_error err = MSB_ERROR_INIT;
	int i;

	for (i = 0; i < 2000; i++) {
		msb_result result = msb_sandbox_metrics(s, out, &err);

		if (result == MSB_OK && out->uptime_ns > after)
			return;
		CHECK(result == MSB_OK || result == MSB_E_NOT_FOUND);
		poll(NULL, 0, 10);
	}
	CHECK(!"a sample within 20 s");
}

TEST(metrics_arguments)
{
	msb_metrics m = MSB_METRICS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_handle s;
	uint32_t count = 7;

	CHECK_RESULT(msb_sandbox_metrics(0, &m, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_metrics(1, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_metrics_list(NULL, NULL, 0, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_metrics_list(NULL, NULL, 1, &count, &err), MSB_E_INVALID, &err);
	m.size = 5;
	CHECK_RESULT(msb_metrics_list(NULL, &m, 1, &count, &err), MSB_E_INVALID, &err);
	CHECK_OK(msb_metrics_list(NULL, NULL, 0, &count, &err), &err); /* there is no registry */
	CHECK_INT(count, 0);
	so.metrics_interval_ms = 1; /* less than the least */
	CHECK_RESULT(msb_sandbox_create(&so, &s, &err), MSB_E_INVALID, &err);
}

REAL(metrics)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT, off = MSB_SANDBOX_OPTIONS_INIT;
	msb_metrics m = MSB_METRICS_INIT, all[2];
	msb_error err = MSB_ERROR_INIT;
	msb_handle s, quiet, p;
	uint32_t count;
	int32_t pid;

	so.name = "sampled";
	so.metrics_interval_ms = 10;
	off.metrics_interval_ms = -1;
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_OK(msb_sandbox_create(&off, &quiet, &err), &err);
	CHECK_RESULT(msb_sandbox_metrics(quiet, &m, &err), MSB_E_NOT_FOUND, &err);
	p = start_shell(s, "head -c 3000000 /dev/zero >/big; i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exec sleep 1000", MSB_STDIO_NULL);
	next_sample(s, &m, 0);
	while (m.cpu_time_ns == 0 || m.programs == 0 || m.overlay_used_bytes < 3000000)
		next_sample(s, &m, m.uptime_ns);
	CHECK_OK(msb_sandbox_pid(s, &pid, &err), &err);
	CHECK_INT(m.pid, pid);
	CHECK_INT(m.programs, 1);
	CHECK_TEXT(m.name, "sampled");
	CHECK_INT(m.memory_limit_bytes, 512u << 20);
	CHECK(m.memory_used_bytes > 0 && m.memory_used_bytes <= m.memory_peak_bytes);
	CHECK(m.memory_peak_bytes < m.memory_limit_bytes);
	CHECK((m.known & MSB_METRIC_CPU_TIME) != 0 && (m.known & MSB_METRIC_OVERLAY_USED) != 0);
	CHECK(m.overlay_used_bytes < 64u << 20);
	CHECK(m.sampled_unix_ms > 1700000000000);

	all[0].size = sizeof all[0];
	CHECK_OK(msb_metrics_list(NULL, all, 2, &count, &err), &err);
	CHECK_INT(count, 1);
	CHECK_TEXT(all[0].name, "sampled");
	CHECK_RESULT(msb_metrics_list(NULL, NULL, 0, &count, &err), MSB_E_BUFFER, &err);

	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
	close_and_wait(quiet);
	CHECK_OK(msb_metrics_list(NULL, all, 2, &count, &err), &err);
	CHECK_INT(count, 0);
}
