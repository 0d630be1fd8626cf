/* How sandboxes and programs end. */
#include "win.h"

#include <stdlib.h>

/* Reads the two process ids of the mode "tree". */
static int read_tree(HANDLE out, DWORD *parent, DWORD *child)
{
	char line[64], *end;

	if (read_line(out, line, sizeof line) == 0)
		return 0;
	*parent = strtoul(line, &end, 10);
	*child = strtoul(end, NULL, 10);
	return *parent != 0 && *child != 0;
}

int test_kill_tree(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("kill-tree");
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle sandbox, one, two;
	DWORD parent, child, other;
	HANDLE out, out2;
	char line[64];

	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(start_self(sandbox, "tree", &one, &out, &err));
	OK(start_self(sandbox, "wait", &two, &out2, &err));
	CHECK(read_tree(out, &parent, &child));
	CHECK(read_line(out2, line, sizeof line) > 0);
	other = strtoul(line, NULL, 10);
	CHECK(runs(parent) && runs(child) && runs(other));
	FAILS(MSB_E_UNSUPPORTED, msb_kill(one, 10, &err));
	OK(msb_kill(one, 9, &err));
	OK(msb_wait(one, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_SIGNALED && outcome.signal == 9 && outcome.exit_code == -1);
	CHECK(gone(parent) && gone(child));
	CHECK(runs(other)); /* a program of its own */
	FAILS(MSB_E_DONE, msb_kill(one, 9, &err));
	OK(msb_close(sandbox));
	CHECK(gone(other));
	return 0;
}

int test_kill_sandbox(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("kill-sandbox");
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle sandbox, process;
	DWORD parent, child;
	HANDLE out;
	int32_t pid;

	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(start_self(sandbox, "tree", &process, &out, &err));
	CHECK(read_tree(out, &parent, &child));
	OK(msb_sandbox_pid(sandbox, &pid, &err));
	CHECK(runs((DWORD)pid));
	FAILS(MSB_E_INVALID, msb_kill(sandbox, 15, &err));
	OK(msb_kill(sandbox, 0, &err));
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_KILLED);
	CHECK(!runs((DWORD)pid) && !runs(parent) && !runs(child)); /* at once, not later */
	OK(msb_wait(process, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_SANDBOX_ENDED);
	FAILS(MSB_E_DONE, msb_kill(sandbox, 9, &err));
	OK(msb_close(sandbox));
	return 0;
}

int test_drain(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("drain");
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle sandbox, process, refused;
	HANDLE out, none;

	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(start_self(sandbox, "short", &process, &out, &err));
	OK(msb_sandbox_drain(sandbox, -1, &err));
	FAILS(MSB_E_STATE, start_self(sandbox, "short", &refused, &none, &err));
	OK(msb_wait(process, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_EXITED && outcome.exit_code == 5); /* it finished */
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_DRAINED);
	OK(msb_close(sandbox));
	return 0;
}

int test_stop(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("stop");
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle sandbox, process;
	DWORD parent, child;
	HANDLE out;

	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(start_self(sandbox, "tree", &process, &out, &err));
	CHECK(read_tree(out, &parent, &child));
	OK(msb_sandbox_stop(sandbox, 200, &err));
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_STOPPED);
	CHECK(!runs(parent) && !runs(child));
	OK(msb_close(sandbox));
	return 0;
}

int test_limits(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("limits");
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	const char *argv[] = {self_path, "guest", "tree", NULL};
	msb_handle sandbox, process;

	so.idle_timeout_ms = 300;
	OK(msb_sandbox_create(&so, &sandbox, &err));
	po.argv = argv;
	po.wall_limit_ms = 700;
	OK(msb_process_start(sandbox, &po, &process, &err));
	OK(msb_wait(process, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_WALL_LIMIT && outcome.signal == 9);
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_IDLE_TIMEOUT);
	OK(msb_close(sandbox));
	so = job_options("limits");
	so.max_duration_ms = 300;
	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_MAX_DURATION);
	OK(msb_close(sandbox));
	return 0;
}

int test_memory(void)
{
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_options so = job_options("memory");
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle sandbox, process;
	HANDLE out;

	so.memory_bytes = 128u << 20;
	OK(msb_sandbox_create(&so, &sandbox, &err));
	OK(start_self(sandbox, "memory", &process, &out, &err));
	OK(msb_wait(process, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_MEMORY_LIMIT);
	OK(msb_wait(sandbox, LIMIT, &outcome, &err));
	CHECK(outcome.cause == MSB_CAUSE_MEMORY_LIMIT);
	OK(msb_close(sandbox));
	return 0;
}
