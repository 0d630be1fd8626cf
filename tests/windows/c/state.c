/* Names, what is kept, logs and metrics. */
#include "win.h"

int test_names(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("gr\xc3\xbc\xc3\x9f \"name\": x");
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_sandbox_entry entry = {sizeof entry, 0, 0, 0, 0, 0, 0, {0}, {0}};
	msb_list_options lo = MSB_LIST_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle owner_handle, other, none;
	uint32_t count, length, orphans;
	char text[4096];

	lo.state_dir = state_dir;
	OK(msb_sandbox_create(&so, &owner_handle, &err));
	FAILS(MSB_E_EXISTS, msb_sandbox_create(&so, &none, &err));
	OK(msb_sandbox_list(&lo, &entry, 1, &count, &err));
	CHECK(count == 1 && strcmp(entry.name, so.name) == 0 && entry.engine == MSB_ENGINE_JOB);
	OK(msb_sandbox_open(so.name, state_dir, &other, &err));
	OK(msb_sandbox_info_get(other, &info, &err));
	CHECK(info.state == MSB_STATE_RUNNING && info.flags == MSB_INFO_ATTACHED && info.pid == entry.pid);
	OK(msb_close(other)); /* not the owner's: it lives on */
	OK(msb_sandbox_open(so.name, state_dir, &other, &err));
	OK(msb_kill(other, 9, &err)); /* the process: whoever is not the owner has no job */
	OK(msb_wait(other, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_KILLED);
	OK(msb_wait(owner_handle, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_KILLED);
	OK(msb_audit(state_dir, text, sizeof text, &length, &orphans, &err));
	CHECK(orphans == 0 && length == 0);
	FAILS(MSB_E_NOT_FOUND, msb_sandbox_open(so.name, state_dir, &other, &err));
	OK(msb_sandbox_create(&so, &other, &err)); /* the name is free again */
	OK(msb_close(other));
	OK(msb_close(owner_handle));
	return 0;
}

int test_stored(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("stored");
	msb_sandbox_entry entry = {sizeof entry, 0, 0, 0, 0, 0, 0, {0}, {0}};
	msb_list_options lo = MSB_LIST_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle sandbox;
	uint32_t count;

	lo.state_dir = state_dir;
	lo.flags = MSB_LIST_STOPPED;
	so.flags = MSB_CREATE_STORED;
	so.memory_bytes = 100u << 20;
	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(msb_sandbox_stop(sandbox, 0, &err));
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	OK(msb_close(sandbox));
	OK(msb_sandbox_list(&lo, &entry, 1, &count, &err));
	CHECK(count == 1 && entry.state == MSB_STATE_STOPPED && entry.last_cause == MSB_CAUSE_STOPPED);
	so = job_options("stored");
	so.engine = MSB_ENGINE_AUTO; /* what is stored decides */
	OK(msb_sandbox_start(&so, &sandbox, &err));
	OK(msb_sandbox_info_get(sandbox, &info, &err));
	CHECK(info.memory_bytes == 100u << 20 && info.engine == MSB_ENGINE_JOB);
	FAILS(MSB_E_STATE, msb_sandbox_remove("stored", state_dir, &err));
	OK(msb_kill(sandbox, 9, &err));
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	OK(msb_close(sandbox));
	OK(msb_sandbox_list(&lo, &entry, 1, &count, &err));
	CHECK(count == 1 && entry.state == MSB_STATE_STOPPED && entry.last_cause == MSB_CAUSE_KILLED);
	OK(msb_sandbox_remove("stored", state_dir, &err));
	FAILS(MSB_E_NOT_FOUND, msb_sandbox_remove("stored", state_dir, &err));
	return 0;
}

int test_logs(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("logs");
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_logs_options lo = MSB_LOGS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	const char *argv[] = {self_path, "guest", "say", NULL};
	msb_handle sandbox, process;
	char all[65536];
	msb_os_fd log;
	DWORD n, total = 0;

	OK(msb_sandbox_create(&so, &sandbox, &err));
	lo.flags = MSB_LOGS_FOLLOW;
	OK(msb_logs_open("logs", state_dir, &lo, &log, &err));
	po.argv = argv;
	po.stdio[1].kind = MSB_STDIO_LOG;
	po.stdio[2].kind = MSB_STDIO_LOG;
	OK(msb_process_start(sandbox, &po, &process, &err));
	OK(msb_wait(process, LIMIT, &outcome, &err));
	OK(msb_sandbox_stop(sandbox, 0, &err));
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	/* A follower comes to its end with the sandbox. */
	while (total < sizeof all - 1 && ReadFile((HANDLE)log, all + total, sizeof all - 1 - total, &n, NULL) && n > 0)
		total += n;
	CloseHandle((HANDLE)log);
	for (n = 0; n < total; n++)
		if (all[n] == '\0')
			all[n] = ' ';
	all[total] = '\0';
	CHECK(strstr(all, "to stdout") != NULL && strstr(all, "to stderr") != NULL);
	CHECK(strstr(all, "sandbox ended: stopped") != NULL);
	OK(msb_close(sandbox));
	return 0;
}

int test_metrics(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("metrics");
	msb_metrics metrics;
	msb_handle sandbox, process;
	msb_result result;
	HANDLE out;
	int i;

	memset(&metrics, 0, sizeof metrics);
	metrics.size = sizeof metrics;
	so.metrics_interval_ms = 20;
	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(start_self(sandbox, "wait", &process, &out, &err));
	for (i = 0; i < LIMIT / 20; i++) { /* until the supervisor has written */
		result = msb_sandbox_metrics(sandbox, &metrics, &err);
		if (result == MSB_OK && metrics.programs == 1)
			break;
		Sleep(20);
	}
	OK(msb_sandbox_metrics(sandbox, &metrics, &err));
	CHECK(metrics.programs == 1 && strcmp(metrics.name, "metrics") == 0);
	CHECK(metrics.memory_limit_bytes == 512u << 20);
	OK(msb_kill(sandbox, 9, &err));
	OK(msb_wait(sandbox, LIMIT, NULL, &err));
	FAILS(MSB_E_NOT_FOUND, msb_sandbox_metrics(sandbox, &metrics, &err));
	OK(msb_close(sandbox));
	return 0;
}

int test_log_handle(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("log-handle");
	msb_handle sandbox;
	HANDLE read_end, write_end;
	char line[1024];

	CHECK(CreatePipe(&read_end, &write_end, NULL, 65536));
	OK(msb_set_log_fd((msb_os_fd)write_end, &err));
	CloseHandle(write_end); /* the library has its own */
	OK(msb_sandbox_create(&so, &sandbox, &err));
	CHECK(read_line(read_end, line, sizeof line) > 0);
	CHECK(strstr(line, "sandbox=\"log-handle\"") != NULL && strstr(line, "create") != NULL);
	OK(msb_close(sandbox));
	OK(msb_set_log_fd(-1, &err));
	while (read_line(read_end, line, sizeof line) > 0) /* to its end: the handle is given back */
		;
	FAILS(MSB_E_IO, msb_set_log_fd(0x7ffffff0, &err));
	return 0;
}
