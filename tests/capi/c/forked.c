/* A library that was loaded before fork() refuses every call in the child. */
#include "test.h"

#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void refuse_all(msb_handle s, msb_handle p)
{
	static const char *const argv[] = {"true", NULL};
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle out;
	uint32_t count;
	int32_t done, pid;
	uint64_t number;
	msb_os_fd fd;
	char name[8];

	po.argv = argv;
	CHECK_RESULT(msb_set_log_fd(-1, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_create(&so, &out, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_create(NULL, NULL, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_probe(NULL, &info, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_open("x", NULL, &out, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_pool_create(NULL, &out, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_pool_take(s, NULL, &out, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_pool_resize(s, 1, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_pool_info_get(s, NULL, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_list(NULL, NULL, 0, &count, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_start(&so, &out, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_remove("x", NULL, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_audit(NULL, name, sizeof name, &count, NULL, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_pid(s, &pid, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_name(s, name, sizeof name, NULL, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_info_get(s, &info, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_drain(s, 0, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_stop(s, 0, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_sandbox_disarm(s, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_process_start(s, &po, &out, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_process_stdio(p, 1, &fd, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_process_number(p, &number, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_process_resize(p, 24, 80, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_kill(s, 9, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_wait(p, -1, &outcome, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_try_wait(p, &done, &outcome, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_fd(p, MSB_EVENT_DONE, &fd, &err), MSB_E_FORKED, &err);
	CHECK_RESULT(msb_cancel(p, &err), MSB_E_FORKED, &err);
	CHECK_INT(msb_close(p), MSB_E_FORKED);
	CHECK_INT(msb_close(0), MSB_E_FORKED);
	CHECK_INT(msb_wait(p, -1, NULL, NULL), MSB_E_FORKED);
	CHECK(strstr(err.message, "fork") != NULL);
	CHECK_INT(msb_version(), MSB_VERSION);
	CHECK_TEXT(msb_result_name(MSB_E_FORKED), "MSB_E_FORKED");
}

/* The child exits 0 within the time, or a call hangs. */
static void expect_success(pid_t child)
{
	struct timespec pause = {0, 10000000};
	int status, i;

	CHECK(child > 0);
	for (i = 0; i < 1000; i++) {
		pid_t r = waitpid(child, &status, WNOHANG);

		CHECK(r >= 0);
		if (r == child) {
			CHECK_INT(status, 0);
			return;
		}
		nanosleep(&pause, NULL);
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	CHECK(!"the child answered within 10 s");
}

static void in_child(pid_t child, msb_handle s, msb_handle p)
{
	if (child == 0) {
		refuse_all(s, p);
		_exit(0);
	}
	expect_success(child);
}

TEST(fork_is_refused)
{
	msb_handle s = starting_sandbox(), p = starting_process(s);
	msb_error err = MSB_ERROR_INIT;
	int32_t pid;

	in_child(fork(), s, p);
	in_child((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0), s, p); /* no atfork handler runs */
	in_child(_Fork(), s, p);
	CHECK_OK(msb_sandbox_pid(s, &pid, &err), &err); /* the parent is unaffected */
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

TEST(grandchild_is_refused)
{
	msb_handle s = starting_sandbox(), p = starting_process(s);
	pid_t child = fork();

	if (child == 0) {
		in_child(fork(), s, p);
		_exit(0);
	}
	expect_success(child);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

/* Not a test: what the spawned program of the next one does. */
TEST(child_after_exec)
{
	msb_error err = MSB_ERROR_INIT;

	CHECK_OK(msb_set_log_fd(-1, &err), &err);
}

TEST(exec_is_unaffected)
{
	static char *argv[] = {"suite", "child_after_exec", NULL};
	msb_error err = MSB_ERROR_INIT;
	pid_t child;

	CHECK_OK(msb_set_log_fd(-1, &err), &err);
	CHECK_INT(posix_spawn(&child, "/proc/self/exe", NULL, NULL, argv, environ), 0);
	expect_success(child);
	child = vfork();
	if (child == 0) {
		execve("/proc/self/exe", argv, environ);
		_exit(9);
	}
	expect_success(child);
	child = fork();
	if (child == 0) {
		execve("/proc/self/exe", argv, environ);
		_exit(9);
	}
	expect_success(child);
	CHECK_OK(msb_set_log_fd(-1, &err), &err);
}
