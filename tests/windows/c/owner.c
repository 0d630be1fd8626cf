/* The owner's death, the supervisor's, and who lives on. */
#include "win.h"

#include <stdlib.h>

/*
 * The owner's side: a sandbox with a program that has started another, then a line with
 * the process ids of the supervisor and of both, then waiting to be killed.
 */
int owner(const char *mode)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("owned");
	msb_handle sandbox, process;
	HANDLE out;
	char line[64];
	int32_t pid;

	if (strcmp(mode, "detached") == 0)
		so.flags = MSB_CREATE_DETACHED;
	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(start_self(sandbox, "tree", &process, &out, &err));
	CHECK(read_line(out, line, sizeof line) > 0);
	OK(msb_sandbox_pid(sandbox, &pid, &err));
	if (strcmp(mode, "disarmed") == 0) {
		OK(msb_sandbox_disarm(sandbox, &err));
		OK(msb_sandbox_disarm(sandbox, &err)); /* again is fine */
	}
	printf("%ld %s\n", (long)pid, line);
	Sleep(INFINITE);
	return 0;
}

static int start_and_read(const char *mode, PROCESS_INFORMATION *info, DWORD pids[3])
{
	char line[256], *at = line;
	int i;

	if (!start_owner(mode, info, line, sizeof line))
		return 0;
	for (i = 0; i < 3; i++)
		pids[i] = strtoul(at, &at, 10);
	if (pids[0] == 0 || pids[2] == 0) {
		printf("%s\n", line);
		return 0;
	}
	return 1;
}

/* Nothing is left in the state directory. */
static int clean(void)
{
	msb_error err = MSB_ERROR_INIT;
	uint32_t length, orphans;
	char text[4096];

	OK(msb_audit(state_dir, text, sizeof text, &length, &orphans, &err));
	if (length != 0 || orphans != 0) {
		printf("left: %s\n", text);
		return 1;
	}
	return 0;
}

int test_owner_killed(void)
{
	PROCESS_INFORMATION info;
	DWORD pids[3];

	CHECK(start_and_read("attached", &info, pids));
	CHECK(runs(pids[0]) && runs(pids[1]) && runs(pids[2]));
	CHECK(TerminateProcess(info.hProcess, 77));
	CHECK(gone(pids[0]) && gone(pids[1]) && gone(pids[2]));
	return clean();
}

int test_supervisor_killed(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("supervisor-killed");
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle sandbox, process;
	HANDLE out, supervisor;
	char line[64], *end;
	DWORD parent, child;
	int32_t pid;

	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(start_self(sandbox, "tree", &process, &out, &err));
	CHECK(read_line(out, line, sizeof line) > 0);
	parent = strtoul(line, &end, 10);
	child = strtoul(end, NULL, 10);
	OK(msb_sandbox_pid(sandbox, &pid, &err));
	supervisor = OpenProcess(PROCESS_TERMINATE, FALSE, (DWORD)pid);
	CHECK(supervisor != NULL && TerminateProcess(supervisor, 1));
	CloseHandle(supervisor);
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_KILLED);
	CHECK(!runs(parent) && !runs(child)); /* when the sandbox is done, so are they */
	OK(msb_close(sandbox));
	return clean();
}

/* A sandbox that lives on: it is found, runs programs, and ends when it is told to. */
static int lives_on(DWORD pids[3])
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle sandbox, process;
	HANDLE out;

	OK(msb_sandbox_open("owned", state_dir, &sandbox, &err));
	OK(msb_sandbox_info_get(sandbox, &info, &err));
	CHECK((info.flags & MSB_INFO_ATTACHED) == 0 && info.programs == 1);
	OK(start_self(sandbox, "short", &process, &out, &err));
	OK(msb_wait(process, LIMIT, &outcome, &err));
	CHECK(outcome.exit_code == 5);
	CHECK(runs(pids[0]) && runs(pids[1]) && runs(pids[2]));
	OK(msb_kill(sandbox, 9, &err));
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	CHECK(gone(pids[0]) && gone(pids[1]) && gone(pids[2]));
	OK(msb_close(sandbox));
	return clean();
}

int test_disarmed(void)
{
	PROCESS_INFORMATION info;
	DWORD pids[3];

	CHECK(start_and_read("disarmed", &info, pids));
	CHECK(TerminateProcess(info.hProcess, 77));
	CHECK(WaitForSingleObject(info.hProcess, LIMIT) == WAIT_OBJECT_0);
	return lives_on(pids);
}

int test_detached(void)
{
	PROCESS_INFORMATION info;
	DWORD pids[3];

	CHECK(start_and_read("detached", &info, pids));
	CHECK(TerminateProcess(info.hProcess, 77));
	CHECK(WaitForSingleObject(info.hProcess, LIMIT) == WAIT_OBJECT_0);
	return lives_on(pids);
}

/* A handle of the host that may be inherited is not: else its pipe would not end. */
int test_inheritance(void)
{
	SECURITY_ATTRIBUTES inherit = {sizeof inherit, NULL, TRUE};
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("inheritance");
	msb_handle sandbox, process;
	HANDLE read_end, write_end, out, standard;
	DWORD n;
	char c;

	CHECK(CreatePipe(&read_end, &write_end, &inherit, 0));
	standard = GetStdHandle(STD_OUTPUT_HANDLE);
	SetStdHandle(STD_INPUT_HANDLE, write_end); /* nor as a standard handle */
	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(start_self(sandbox, "wait", &process, &out, &err));
	SetStdHandle(STD_INPUT_HANDLE, NULL);
	CHECK(GetStdHandle(STD_OUTPUT_HANDLE) == standard);
	CloseHandle(write_end);
	CHECK(!ReadFile(read_end, &c, 1, &n, NULL) && GetLastError() == ERROR_BROKEN_PIPE);
	OK(msb_close(sandbox));
	return 0;
}

int test_launch_errors(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("launch-errors");
	msb_handle sandbox;

	so.msb_path = "C:\\no\\such\\msb.exe";
	FAILS(MSB_E_NOT_FOUND, msb_sandbox_create(&so, &sandbox, &err));
	so.msb_path = "C:\\windows\\system32\\whoami.exe"; /* ends and says nothing */
	FAILS(MSB_E_LAUNCH, msb_sandbox_create(&so, &sandbox, &err));
	CHECK(strstr(err.message, "before its startup line") != NULL);
	so.msb_path = self_path; /* knows no such command */
	FAILS(MSB_E_LAUNCH, msb_sandbox_create(&so, &sandbox, &err));
	so.msb_path = "C:\\windows\\system32\\cmd.exe"; /* waits for input that never comes, or ends */
	so.start_timeout_ms = 1000;
	CHECK(msb_sandbox_create(&so, &sandbox, &err) != MSB_OK);
	CHECK(err.code == MSB_E_TIMED_OUT || err.code == MSB_E_LAUNCH);
	return clean();
}
