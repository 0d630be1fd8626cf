/* The library, its engines, programs and their streams. */
#include "win.h"

int test_library(void)
{
	CHECK(msb_version() == MSB_VERSION);
	CHECK(strcmp(msb_result_name(MSB_E_GONE), "MSB_E_GONE") == 0);
	CHECK(msb_close(0) == MSB_OK);
	CHECK(msb_close(12345) == MSB_E_HANDLE);
	return 0;
}

int test_engines(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options o = job_options(NULL);
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_handle sandbox;

	o.engine = MSB_ENGINE_AUTO; /* what isolates nothing is never chosen by itself */
	FAILS(MSB_E_UNSUPPORTED, msb_sandbox_create(&o, &sandbox, &err));
	CHECK(strstr(err.message, "MSB_ENGINE_JOB") != NULL);
	CHECK(sandbox == 0);
	for (o.engine = MSB_ENGINE_GVISOR; o.engine < MSB_ENGINE_JOB; o.engine++) {
		FAILS(MSB_E_UNSUPPORTED, msb_sandbox_create(&o, &sandbox, &err));
		CHECK(err.stage == MSB_STAGE_ENGINE && strstr(err.message, "not in this msb") != NULL);
	}
	o.engine = MSB_ENGINE_JOB;
	o.root_kind = MSB_ROOT_DIR;
	o.root_path = "C:\\windows";
	FAILS(MSB_E_UNSUPPORTED, msb_sandbox_create(&o, &sandbox, &err));
	o = job_options(NULL);
	OK(msb_probe(&o, &info, &err));
	CHECK(info.engine == MSB_ENGINE_JOB);
	CHECK(strstr(info.receipt, "no wall against hostile code") != NULL);
	CHECK(strstr(info.receipt, "isolation: none") == info.receipt);
	return 0;
}

int test_program(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("program");
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	const char *argv[] = {self_path, "guest", "environment", NULL};
	const char *env[] = {"MSB_TEST=gr\xc3\xbc\xc3\x9f \"x\"", NULL};
	msb_handle sandbox, process;
	char line[2048];
	msb_os_fd out;

	SetEnvironmentVariableA("MSB_HOME", state_dir); /* the host's own is not inherited */
	OK(msb_sandbox_create(&so, &sandbox, &err));
	po.argv = argv;
	po.env = env;
	po.cwd = "C:\\windows";
	po.stdio[1].kind = MSB_STDIO_PIPE;
	OK(msb_process_start(sandbox, &po, &process, &err));
	OK(msb_process_stdio(process, 1, &out, &err));
	FAILS(MSB_E_STATE, msb_process_stdio(process, 1, &out, &err));
	CHECK(out == -1);
	OK(msb_wait(process, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_EXITED && outcome.exit_code == 0);
	OK(msb_close(process));
	/* A bare name is looked up in the system's directories. */
	argv[0] = "cmd.exe";
	argv[1] = "/c";
	argv[2] = "exit 300";
	OK(msb_process_start(sandbox, &po, &process, &err));
	OK(msb_process_stdio(process, 1, &out, &err));
	OK(msb_wait(process, LIMIT, &outcome, &err));
	CHECK(outcome.exit_code == 300);
	CHECK(read_line((HANDLE)out, line, sizeof line) == 0);
	CHECK(CloseHandle((HANDLE)out));
	OK(msb_close(sandbox));
	return 0;
}

int test_stdin(void)
{
	static const char text[] = "line one\r\nline two\0with NUL";
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("stdin");
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	const char *argv[] = {self_path, "guest", "copy", NULL};
	msb_handle sandbox, process;
	HANDLE read_end, write_end;
	char got[64];
	msb_os_fd in;
	DWORD n, total = 0;

	OK(msb_sandbox_create(&so, &sandbox, &err));
	CHECK(CreatePipe(&read_end, &write_end, NULL, 0));
	po.argv = argv;
	po.stdio[0].kind = MSB_STDIO_PIPE;
	po.stdio[1].kind = MSB_STDIO_FD; /* a handle of our own */
	po.stdio[1].fd = (msb_os_fd)write_end;
	OK(msb_process_start(sandbox, &po, &process, &err));
	CloseHandle(write_end);
	OK(msb_process_stdio(process, 0, &in, &err));
	CHECK(WriteFile((HANDLE)in, text, sizeof text, &n, NULL) && n == sizeof text);
	CHECK(CloseHandle((HANDLE)in));
	while (ReadFile(read_end, got + total, sizeof got - total, &n, NULL) && n > 0)
		total += n;
	CHECK(total == sizeof text && memcmp(got, text, sizeof text) == 0);
	OK(msb_wait(process, LIMIT, &outcome, &err));
	CHECK(outcome.exit_code == 3);
	po.stdio[1].fd = 0x7ffffff0; /* no handle */
	FAILS(MSB_E_INVALID, msb_process_start(sandbox, &po, &process, &err));
	CHECK(strstr(err.message, "not open") != NULL);
	OK(msb_close(sandbox));
	return 0;
}

int test_errors(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("errors");
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_rlimit limit = {1, 0, 4096, 4096};
	msb_mount mount = {MSB_MOUNT_TMPFS, 0, NULL, "/tmp2", 0, 0};
	const char *argv[] = {"no-such-program", NULL};
	msb_handle sandbox, process;

	so.mounts = &mount;
	so.mounts_count = 1;
	so.mount_size = sizeof mount;
	FAILS(MSB_E_UNSUPPORTED, msb_sandbox_create(&so, &sandbox, &err));
	so = job_options("errors");
	OK(msb_sandbox_create(&so, &sandbox, &err));
	po.argv = argv;
	FAILS(MSB_E_EXEC, msb_process_start(sandbox, &po, &process, &err));
	CHECK(err.stage == MSB_STAGE_EXEC && err.sys_errno == ERROR_FILE_NOT_FOUND && process == 0);
	argv[0] = self_path;
	po.cwd = "C:\\no\\such\\directory";
	FAILS(MSB_E_EXEC, msb_process_start(sandbox, &po, &process, &err));
	CHECK(err.stage == MSB_STAGE_CWD);
	po.cwd = "relative";
	FAILS(MSB_E_INVALID, msb_process_start(sandbox, &po, &process, &err));
	po.cwd = NULL;
	po.uid = 1000;
	FAILS(MSB_E_UNSUPPORTED, msb_process_start(sandbox, &po, &process, &err));
	po.uid = 0;
	po.rlimits = &limit; /* FSIZE */
	po.rlimit_count = 1;
	FAILS(MSB_E_UNSUPPORTED, msb_process_start(sandbox, &po, &process, &err));
	OK(msb_close(sandbox));
	FAILS(MSB_E_HANDLE, msb_process_start(sandbox, &po, &process, &err));
	CHECK(msb_close(sandbox) == MSB_E_HANDLE);
	return 0;
}

int test_events(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("events");
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	const char *argv[] = {self_path, "guest", "short", NULL};
	msb_handle sandbox, process;
	msb_os_fd ready, done, again, gone_event;
	int32_t ended;
	int i;

	so.flags = MSB_CREATE_ASYNC;
	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(msb_fd(sandbox, MSB_EVENT_READY, &ready, &err));
	OK(msb_fd(sandbox, MSB_EVENT_DONE, &gone_event, &err));
	CHECK(WaitForSingleObject((HANDLE)ready, LIMIT) == WAIT_OBJECT_0);
	CHECK(WaitForSingleObject((HANDLE)ready, 0) == WAIT_OBJECT_0); /* for good */
	CHECK(WaitForSingleObject((HANDLE)gone_event, 0) == WAIT_TIMEOUT);
	po.argv = argv;
	po.flags = MSB_START_ASYNC;
	OK(msb_process_start(sandbox, &po, &process, &err));
	OK(msb_fd(process, MSB_EVENT_DONE, &done, &err));
	OK(msb_try_wait(process, &ended, NULL, &err));
	CHECK(ended == 0);
	FAILS(MSB_E_TIMED_OUT, msb_wait(process, 0, NULL, &err));
	CHECK(WaitForSingleObject((HANDLE)done, LIMIT) == WAIT_OBJECT_0);
	OK(msb_try_wait(process, &ended, &outcome, &err));
	CHECK(ended == 1 && outcome.exit_code == 5);
	for (i = 0; i < 1000; i++) { /* each call gives a handle of its own, after the end too */
		OK(msb_fd(process, MSB_EVENT_DONE | MSB_EVENT_READY, &again, &err));
		CHECK(WaitForSingleObject((HANDLE)again, LIMIT) == WAIT_OBJECT_0);
		CHECK(CloseHandle((HANDLE)again));
	}
	OK(msb_close(sandbox));
	CHECK(WaitForSingleObject((HANDLE)gone_event, LIMIT) == WAIT_OBJECT_0);
	CloseHandle((HANDLE)ready);
	CloseHandle((HANDLE)done);
	CloseHandle((HANDLE)gone_event);
	return 0;
}

#define THREADS 8

static msb_handle shared;

static DWORD WINAPI run_programs(void *unused)
{
	msb_error err = MSB_ERROR_INIT;
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	const char *argv[] = {self_path, "guest", "say", NULL};
	msb_handle process;

	(void)unused;
	po.argv = argv;
	if (msb_process_start(shared, &po, &process, &err) != MSB_OK || msb_wait(process, LIMIT, &outcome, &err) != MSB_OK) {
		printf("%s\n", err.message);
		return 1;
	}
	return outcome.exit_code != 0 || msb_close(process) != MSB_OK;
}

int test_threads(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("threads");
	HANDLE threads[THREADS];
	DWORD code;
	int i;

	OK(msb_sandbox_create(&so, &shared, &err));
	for (i = 0; i < THREADS; i++) {
		threads[i] = CreateThread(NULL, 0, run_programs, NULL, 0, NULL);
		CHECK(threads[i] != NULL);
	}
	for (i = 0; i < THREADS; i++) {
		CHECK(WaitForSingleObject(threads[i], LIMIT) == WAIT_OBJECT_0);
		CHECK(GetExitCodeThread(threads[i], &code) && code == 0);
	}
	OK(msb_close(shared));
	return 0;
}
