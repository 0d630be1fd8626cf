/* Helpers, and what the test program does inside a sandbox. */
#include "win.h"

#include <stdlib.h>

msb_sandbox_options job_options(const char *name)
{
	msb_sandbox_options o = MSB_SANDBOX_OPTIONS_INIT;

	o.name = name;
	o.state_dir = state_dir;
	o.engine = MSB_ENGINE_JOB;
	return o;
}

msb_result start_self(msb_handle sandbox, const char *mode, msb_handle *process, HANDLE *out, msb_error *err)
{
	msb_process_options o = MSB_PROCESS_OPTIONS_INIT;
	const char *argv[] = {self_path, "guest", mode, NULL};
	msb_os_fd fd;
	msb_result result;

	o.argv = argv;
	o.stdio[1].kind = MSB_STDIO_PIPE;
	result = msb_process_start(sandbox, &o, process, err);
	if (result == MSB_OK)
		result = msb_process_stdio(*process, 1, &fd, err);
	if (result == MSB_OK)
		*out = (HANDLE)fd;
	return result;
}

size_t read_line(HANDLE from, char *line, size_t size)
{
	size_t n = 0;
	DWORD got;
	char c;

	while (n + 1 < size && ReadFile(from, &c, 1, &got, NULL) && got == 1 && c != '\n')
		if (c != '\r')
			line[n++] = c;
	line[n] = '\0';
	return n;
}

int gone(DWORD pid)
{
	HANDLE h = OpenProcess(SYNCHRONIZE, FALSE, pid);
	DWORD event;

	if (h == NULL)
		return 1;
	event = WaitForSingleObject(h, LIMIT);
	CloseHandle(h);
	return event == WAIT_OBJECT_0;
}

int runs(DWORD pid)
{
	HANDLE h = OpenProcess(SYNCHRONIZE, FALSE, pid);
	DWORD event;

	if (h == NULL)
		return 0;
	event = WaitForSingleObject(h, 0);
	CloseHandle(h);
	return event == WAIT_TIMEOUT;
}

/* Starts this program with a command line; out is the read end of its output, or NULL. */
static int start(const char *arguments, PROCESS_INFORMATION *info, HANDLE *out)
{
	STARTUPINFOA startup;
	SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
	HANDLE ours = NULL, theirs = NULL;
	char line[4096];
	BOOL ok;

	memset(&startup, 0, sizeof startup);
	startup.cb = sizeof startup;
	if (out != NULL) {
		if (!CreatePipe(&ours, &theirs, &inherit, 0))
			return 0;
		SetHandleInformation(ours, HANDLE_FLAG_INHERIT, 0);
		startup.dwFlags = STARTF_USESTDHANDLES;
		startup.hStdOutput = theirs;
		startup.hStdError = theirs;
	}
	snprintf(line, sizeof line, "\"%s\" %s", self_path, arguments);
	ok = CreateProcessA(NULL, line, NULL, NULL, out != NULL, 0, NULL, NULL, &startup, info);
	if (theirs != NULL)
		CloseHandle(theirs);
	if (out != NULL)
		*out = ours;
	return ok;
}

int start_owner(const char *mode, PROCESS_INFORMATION *info, char *line, size_t size)
{
	char arguments[2048];
	HANDLE out;
	int ok;

	snprintf(arguments, sizeof arguments, "owner \"%s\" %s", state_dir, mode);
	if (!start(arguments, info, &out))
		return 0;
	ok = read_line(out, line, size) > 0;
	CloseHandle(out);
	return ok;
}

/* ---- inside ------------------------------------------------------------- */

static int tell_tree(void)
{
	PROCESS_INFORMATION child;

	if (!start("guest sleep", &child, NULL)) /* which has our stdout, and says nothing */
		return 9;
	printf("%lu %lu\n", (unsigned long)GetCurrentProcessId(), (unsigned long)child.dwProcessId);
	Sleep(INFINITE);
	return 0;
}

static int use_memory(void)
{
	size_t step = 16u << 20;
	int i;

	for (i = 0; i < 64; i++) {
		char *block = VirtualAlloc(NULL, step, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);

		if (block == NULL)
			return 7;
		memset(block, 1, step);
		Sleep(20); /* so that it is seen to grow */
	}
	Sleep(INFINITE);
	return 0;
}

static int copy_input(void)
{
	HANDLE in = GetStdHandle(STD_INPUT_HANDLE), out = GetStdHandle(STD_OUTPUT_HANDLE);
	char buffer[4096];
	DWORD n, written;

	while (ReadFile(in, buffer, sizeof buffer, &n, NULL) && n > 0)
		WriteFile(out, buffer, n, &written, NULL);
	return 3;
}

int guest(const char *mode)
{
	if (strcmp(mode, "wait") == 0) {
		printf("%lu\n", (unsigned long)GetCurrentProcessId());
		Sleep(INFINITE);
	}
	if (strcmp(mode, "sleep") == 0)
		Sleep(INFINITE);
	if (strcmp(mode, "tree") == 0)
		return tell_tree();
	if (strcmp(mode, "memory") == 0)
		return use_memory();
	if (strcmp(mode, "copy") == 0)
		return copy_input();
	if (strcmp(mode, "say") == 0) {
		DWORD n;

		return !WriteFile(GetStdHandle(STD_OUTPUT_HANDLE), "to stdout", 9, &n, NULL) ||
		       !WriteFile(GetStdHandle(STD_ERROR_HANDLE), "to stderr", 9, &n, NULL);
	}
	if (strcmp(mode, "short") == 0) {
		Sleep(300);
		return 5;
	}
	if (strcmp(mode, "environment") == 0) {
		char dir[1024];
		const char *value = getenv("MSB_TEST"), *home = getenv("MSB_HOME"), *root = getenv("SystemRoot");

		GetCurrentDirectoryA(sizeof dir, dir);
		printf("%s|%s|%s|%s\n", value != NULL ? value : "-", home != NULL ? home : "-", root != NULL ? "root" : "-", dir);
		return 0;
	}
	return 9;
}
