/* Handles for overlapped I/O, and what Windows has no use for. */
#include "win.h"

/* Reads once, overlapped; -1: the read failed, at the end too. */
static int read_some(HANDLE from, char *buffer, DWORD size)
{
	OVERLAPPED io;
	DWORD n = 0;
	BOOL ok;

	memset(&io, 0, sizeof io);
	io.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
	ok = ReadFile(from, buffer, size, NULL, &io);
	if (ok || GetLastError() == ERROR_IO_PENDING)
		ok = GetOverlappedResult(from, &io, &n, TRUE);
	CloseHandle(io.hEvent);
	return ok ? (int)n : -1;
}

/* The caller's ends wait in no thread: a read that pends is cancelled, and input is
 * taken as it comes. */
int test_overlapped(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("overlapped");
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_logs_options lo = MSB_LOGS_OPTIONS_INIT;
	const char *argv[] = {self_path, "guest", "copy", NULL};
	msb_handle sandbox, process;
	msb_os_fd in, out, log;
	OVERLAPPED io;
	char got[64];
	DWORD n = 0;

	OK(msb_sandbox_create(&so, &sandbox, &err));
	po.argv = argv;
	po.flags = MSB_START_OVERLAPPED;
	po.stdio[0].kind = po.stdio[1].kind = MSB_STDIO_PIPE;
	OK(msb_process_start(sandbox, &po, &process, &err));
	OK(msb_process_stdio(process, 0, &in, &err));
	OK(msb_process_stdio(process, 1, &out, &err));
	memset(&io, 0, sizeof io);
	io.hEvent = CreateEventA(NULL, TRUE, FALSE, NULL);
	CHECK(!ReadFile((HANDLE)out, got, sizeof got, NULL, &io) && GetLastError() == ERROR_IO_PENDING);
	CHECK(WaitForSingleObject(io.hEvent, 0) == WAIT_TIMEOUT);
	CHECK(CancelIoEx((HANDLE)out, &io));
	CHECK(!GetOverlappedResult((HANDLE)out, &io, &n, TRUE) && GetLastError() == ERROR_OPERATION_ABORTED);
	ResetEvent(io.hEvent);
	CHECK(WriteFile((HANDLE)in, "words", 5, NULL, &io) || GetLastError() == ERROR_IO_PENDING);
	CHECK(GetOverlappedResult((HANDLE)in, &io, &n, TRUE) && n == 5);
	CHECK(read_some((HANDLE)out, got, sizeof got) == 5 && memcmp(got, "words", 5) == 0);
	CHECK(CloseHandle((HANDLE)in));
	CHECK(read_some((HANDLE)out, got, sizeof got) == -1); /* its end */
	CloseHandle((HANDLE)out);
	CloseHandle(io.hEvent);
	lo.flags = MSB_LOGS_OVERLAPPED;
	OK(msb_logs_open("overlapped", state_dir, &lo, &log, &err));
	CHECK(read_some((HANDLE)log, got, 40) == 40); /* a frame's head: the supervisor's line */
	CHECK(CloseHandle((HANDLE)log));
	OK(msb_close(sandbox));
	return 0;
}

/* The functions are there, and say what is missing. */
int test_pools(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("pools");
	msb_pool_options po = MSB_POOL_OPTIONS_INIT;
	msb_take_options to = MSB_TAKE_OPTIONS_INIT;
	msb_pool_info info = MSB_POOL_INFO_INIT;
	msb_handle sandbox, pool = 1;

	po.sandbox = &so;
	FAILS(MSB_E_INVALID, msb_pool_create(&po, NULL, &err));
	FAILS(MSB_E_UNSUPPORTED, msb_pool_create(&po, &pool, &err));
	CHECK(pool == 0 && strstr(err.message, "create each sandbox") != NULL);
	FAILS(MSB_E_HANDLE, msb_pool_take(4711, &to, &pool, &err));
	CHECK(strstr(err.message, "not a live handle") != NULL);
	OK(msb_sandbox_create(&so, &sandbox, &err));
	FAILS(MSB_E_HANDLE, msb_pool_take(sandbox, &to, &pool, &err));
	CHECK(strstr(err.message, "no pool's handle") != NULL);
	FAILS(MSB_E_HANDLE, msb_pool_resize(sandbox, 1, &err));
	FAILS(MSB_E_HANDLE, msb_pool_info_get(sandbox, &info, &err));
	OK(msb_close(sandbox));
	return 0;
}
