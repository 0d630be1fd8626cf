/* User, umask, limits and usage of programs. */
#include "test.h"

#include <unistd.h>

static msb_handle start_with(msb_handle sandbox, msb_process_options *o, const char *script)
{
	const char *argv[] = {"/bin/sh", "-c", NULL, NULL};
	msb_error err = MSB_ERROR_INIT;
	msb_handle process;

	argv[2] = script;
	o->argv = argv;
	CHECK_OK(msb_process_start(sandbox, o, &process, &err), &err);
	return process;
}

REAL(user_and_limits)
{
	static const uint32_t groups[] = {7, 8};
	static const msb_rlimit limits[] = {{7, 0, 32, 64}, {4, 0, 0, 0}};
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_handle s = running_sandbox(), p;

	po.uid = 1000;
	po.gid = 1001;
	po.groups = groups;
	po.group_count = 2;
	po.flags = MSB_START_UMASK;
	po.umask = 027;
	po.rlimits = limits;
	po.rlimit_count = 2;
	p = start_with(s, &po, "test \"$(id -u) $(id -G) $(umask) $(ulimit -n) $(ulimit -Hn) $(ulimit -c)\" = \"1000 1001 7 8 0027 32 64 0\"");
	expect_exit(p, 0);
	CHECK_INT(msb_close(p), MSB_OK);
	po.umask = 0;
	p = start_with(s, &po, "test \"$(umask)\" = 0000");
	expect_exit(p, 0);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

REAL(wall_limit_and_usage)
{
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s = running_sandbox(), p;

	po.wall_limit_ms = 200;
	p = start_with(s, &po, "sleep 1000; :");
	CHECK_OK(msb_wait(p, 20000, &outcome, &err), &err);
	CHECK_INT(outcome.cause, MSB_CAUSE_WALL_LIMIT);
	CHECK_INT(outcome.signal, 9);
	CHECK_INT(outcome.exit_code, -1);
	CHECK(outcome.wall_time_ns >= 200000000);
	CHECK(outcome.cpu_time_ns >= 0);
	CHECK(outcome.memory_peak_bytes > 0);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

/* SIGKILL ends what a program has started: end of file on its output says so. */
REAL(kill_reaches_the_family)
{
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s = running_sandbox(), p;
	msb_os_fd fd;
	char byte;

	po.stdio[1].kind = MSB_STDIO_PIPE;
	p = start_with(s, &po, "(setsid sh -c 'trap \"\" TERM HUP; echo; sleep 1000; :' &); sleep 1000; :");
	CHECK_OK(msb_process_stdio(p, 1, &fd, &err), &err);
	wait_readable(fd);
	CHECK_INT(read(fd, &byte, 1), 1);
	CHECK_OK(msb_kill(p, 9, &err), &err);
	wait_readable(fd);
	CHECK_INT(read(fd, &byte, 1), 0);
	close(fd);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

TEST(wrong_users_and_limits)
{
	static const char *const argv[] = {"true", NULL};
	static const uint32_t no_group[] = {0xffffffffu};
	static const msb_rlimit wrong[] = {{7, 1, 1, 1}, {99, 0, 1, 1}, {7, 0, 2, 1}}, twice[] = {{7, 0, 1, 1}, {7, 0, 1, 1}};
	const msb_process_options zero = MSB_PROCESS_OPTIONS_INIT;
	msb_process_options po[13];
	msb_error err = MSB_ERROR_INIT;
	msb_handle s = starting_sandbox(), out;
	size_t i;

	for (i = 0; i < sizeof po / sizeof po[0]; i++) {
		po[i] = zero;
		po[i].argv = argv;
		po[i].flags = MSB_START_ASYNC;
	}
	po[0].uid = 0xffffffffu;
	po[1].gid = 0xffffffffu;
	po[2].groups = no_group;
	po[2].group_count = 1;
	po[3].group_count = 1;
	po[4].umask = 022;
	po[5].flags |= MSB_START_UMASK;
	po[5].umask = 01000;
	po[6].rlimit_count = 1;
	for (i = 0; i < 3; i++) {
		po[7 + i].rlimits = &wrong[i];
		po[7 + i].rlimit_count = 1;
	}
	po[10].rlimits = twice;
	po[10].rlimit_count = 2;
	po[11].reserved = 1;
	po[12].wall_limit_ms = -1;
	for (i = 0; i < sizeof po / sizeof po[0]; i++) {
		CHECK_RESULT(msb_process_start(s, &po[i], &out, &err), MSB_E_INVALID, &err);
		CHECK_INT(out, 0);
	}
	po[2].group_count = 1025; /* never read */
	CHECK_RESULT(msb_process_start(s, &po[2], &out, &err), MSB_E_LIMIT, &err);
	close_and_wait(s);
}

/* Limits of the sandbox: given ones and defaults are told, and outcomes name what was met. */
REAL(limits_of_a_sandbox)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s, p;

	so.max_processes = 8;
	so.max_open_files = 100;
	so.cpu_time_limit_ms = 60000;
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_OK(msb_sandbox_info_get(s, &info, &err), &err);
	CHECK_INT(info.max_processes, 8);
	CHECK_INT(info.max_open_files, 100);
	CHECK_INT(info.cpu_time_limit_ms, 60000);
	CHECK_INT(info.cpu_permille, 0);
	CHECK_INT(info.cpu_weight, 0);
	p = start_with(s, &po, "for i in 1 2 3 4 5 6 7 8 9; do sleep 1000 & done; :");
	CHECK_OK(msb_wait(p, 20000, &outcome, &err), &err);
	CHECK_INT(outcome.limits_hit, MSB_LIMIT_PROCESSES);
	CHECK_INT(msb_close(p), MSB_OK);
	po.stdio[1].kind = MSB_STDIO_PIPE;
	po.output_limit_bytes = 1000;
	p = start_with(s, &po, "exec head -c 1001 /dev/zero");
	CHECK_OK(msb_wait(p, 20000, &outcome, &err), &err);
	CHECK(outcome.limits_hit & MSB_LIMIT_OUTPUT);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

TEST(wrong_limits_of_a_sandbox)
{
	const msb_sandbox_options zero = MSB_SANDBOX_OPTIONS_INIT;
	msb_sandbox_options so[7];
	msb_error err = MSB_ERROR_INIT;
	msb_handle out;
	size_t i;

	for (i = 0; i < sizeof so / sizeof so[0]; i++)
		so[i] = zero;
	so[0].cpu_permille = 9;
	so[1].cpu_weight = 10001;
	so[2].cpu_time_limit_ms = -1;
	so[3].cpu_time_limit_ms = 9;
	so[4].max_processes = 32769;
	so[5].max_open_files = 15;
	so[6].max_open_files = 0xffffffffu;
	for (i = 0; i < sizeof so / sizeof so[0]; i++) {
		CHECK_RESULT(msb_sandbox_create(&so[i], &out, &err), MSB_E_INVALID, &err);
		CHECK_RESULT(msb_sandbox_start(&so[i], &out, &err), MSB_E_INVALID, &err);
		CHECK_INT(out, 0);
	}
}
