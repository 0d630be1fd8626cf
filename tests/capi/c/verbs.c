/* What each verb does to a sandbox that runs. */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect_outcome(msb_handle h, uint32_t cause, int32_t signo)
{
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	int32_t done;
	int i;

	for (i = 0; i < 2; i++) { /* the outcome stays */
		CHECK_OK(msb_wait(h, 20000, &outcome, &err), &err);
		CHECK_INT(outcome.cause, cause);
		CHECK_INT(outcome.signal, signo);
		CHECK(outcome.wall_time_ns > 0 || (cause == MSB_CAUSE_SANDBOX_ENDED && outcome.wall_time_ns == -1));
	}
	CHECK_OK(msb_try_wait(h, &done, &outcome, &err), &err);
	CHECK_INT(done, 1);
	CHECK_INT(outcome.cause, cause);
}

/* A program that says "ready" and then runs until something ends it. */
static msb_handle start_ready(msb_handle s, const char *script)
{
	msb_handle p = start_shell(s, script, MSB_STDIO_PIPE);
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd;
	char byte;

	CHECK_OK(msb_process_stdio(p, 1, &fd, &err), &err);
	wait_readable(fd);
	CHECK_INT(read(fd, &byte, 1), 1);
	close(fd);
	return p;
}

static int is_alive(int32_t pid)
{
	return kill(pid, 0) == 0;
}

REAL(exit_codes_and_signals)
{
	msb_handle s = running_sandbox(), p;
	msb_error err = MSB_ERROR_INIT;

	p = start_shell(s, "exit 0", MSB_STDIO_NULL);
	expect_exit(p, 0);
	CHECK_RESULT(msb_kill(p, 9, &err), MSB_E_DONE, &err);
	CHECK_INT(msb_close(p), MSB_OK);
	p = start_shell(s, "exit 255", MSB_STDIO_NULL);
	expect_exit(p, 255);
	CHECK_INT(msb_close(p), MSB_OK);
	p = start_shell(s, "kill -11 $$", MSB_STDIO_NULL);
	expect_outcome(p, MSB_CAUSE_SIGNALED, 11);
	CHECK_INT(msb_close(p), MSB_OK);
	p = start_ready(s, "echo ready; exec sleep 1000");
	CHECK_RESULT(msb_wait(p, 0, NULL, &err), MSB_E_TIMED_OUT, &err);
	CHECK_OK(msb_kill(p, SIGUSR1, &err), &err);
	expect_outcome(p, MSB_CAUSE_SIGNALED, SIGUSR1);
	CHECK_INT(msb_close(p), MSB_OK);
	p = start_ready(s, "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done");
	CHECK_OK(msb_kill(p, SIGTERM, &err), &err);
	expect_exit(p, 42);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

static void refuse_start(msb_handle s, const char *argv0, const char *cwd, uint32_t stage, int sys_errno)
{
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	const char *argv[] = {NULL, NULL};
	msb_handle p;

	argv[0] = argv0;
	po.argv = argv;
	po.cwd = cwd;
	CHECK_RESULT(msb_process_start(s, &po, &p, &err), MSB_E_EXEC, &err);
	CHECK_INT(err.stage, stage);
	CHECK_INT(err.sys_errno, sys_errno);
	CHECK_INT(p, 0);
	po.flags = MSB_START_ASYNC; /* the same comes out of the wait */
	CHECK_OK(msb_process_start(s, &po, &p, &err), &err);
	CHECK_RESULT(msb_wait(p, 20000, &outcome, &err), MSB_E_EXEC, &err);
	CHECK_INT(err.stage, stage);
	CHECK_INT(err.sys_errno, sys_errno);
	CHECK_INT(outcome.cause, MSB_CAUSE_START_FAILED);
	CHECK_INT(msb_close(p), MSB_OK);
}

REAL(start_errors)
{
	msb_handle s = running_sandbox(), p;

	refuse_start(s, "no-such-program", NULL, MSB_STAGE_EXEC, ENOENT);
	refuse_start(s, "/no/such/program", NULL, MSB_STAGE_EXEC, ENOENT);
	refuse_start(s, "/etc/passwd", NULL, MSB_STAGE_EXEC, EACCES);
	refuse_start(s, "/tmp", NULL, MSB_STAGE_EXEC, EACCES);
	refuse_start(s, "true", "/no/such/directory", MSB_STAGE_CWD, ENOENT);
	refuse_start(s, "true", "/etc/passwd", MSB_STAGE_CWD, ENOTDIR);
	p = start_shell(s, "printf '\\001\\002\\003' > /tmp/x; chmod 755 /tmp/x", MSB_STDIO_NULL);
	expect_exit(p, 0);
	CHECK_INT(msb_close(p), MSB_OK);
	refuse_start(s, "/tmp/x", NULL, MSB_STAGE_EXEC, ENOEXEC);
	p = start_shell(s, "exit 5", MSB_STDIO_NULL); /* the sandbox is unimpressed */
	expect_exit(p, 5);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

REAL(arguments_are_bytes)
{
	static const char *const argv[] = {"/bin/sh", "-c", "printf '%s|' \"$@\"; pwd; printf %s \"$BYTES\"", "sh", "a b", "", "\xff\xfe", "'\"\n", NULL};
	static const char *const env[] = {"BYTES=\x80\xff=x", NULL};
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_handle s = running_sandbox(), p;
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd;

	po.argv = argv;
	po.env = env;
	po.cwd = "/tmp";
	po.stdio[1].kind = MSB_STDIO_PIPE;
	CHECK_OK(msb_process_start(s, &po, &p, &err), &err);
	CHECK_OK(msb_process_stdio(p, 1, &fd, &err), &err);
	CHECK_TEXT(read_all(fd), "a b||\xff\xfe|'\"\n|/tmp\n\x80\xff=x");
	close(fd);
	expect_exit(p, 0);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

REAL(environment)
{
	static const char *const argv[] = {"/usr/bin/env", NULL}, *const env[] = {"HOME=/x", "A=1", NULL};
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_handle s = running_sandbox(), p;
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd;
	const char *text;

	setenv("SECRET_OF_THE_HOST", "1", 1);
	po.argv = argv;
	po.env = env;
	po.stdio[1].kind = MSB_STDIO_PIPE;
	CHECK_OK(msb_process_start(s, &po, &p, &err), &err);
	CHECK_OK(msb_process_stdio(p, 1, &fd, &err), &err);
	text = read_all(fd);
	CHECK(strstr(text, "SECRET") == NULL);
	CHECK(strstr(text, "PATH=/") != NULL && strstr(text, "LANG=C.UTF-8\n") != NULL);
	CHECK(strstr(text, "HOME=/x\n") != NULL && strstr(text, "A=1\n") != NULL);
	close(fd);
	expect_exit(p, 0);
	CHECK_INT(msb_close(p), MSB_OK);
	po.flags = MSB_START_CLEAR_ENV;
	CHECK_OK(msb_process_start(s, &po, &p, &err), &err);
	CHECK_OK(msb_process_stdio(p, 1, &fd, &err), &err);
	text = read_all(fd);
	CHECK(strstr(text, "HOME=/x\n") != NULL && strstr(text, "A=1\n") != NULL);
	CHECK_INT(strlen(text), strlen("HOME=/x\nA=1\n"));
	close(fd);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

REAL(stdin_and_given_descriptors)
{
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	static const char *const argv[] = {"/bin/sh", "-c", "cat; echo err >&2", NULL};
	msb_handle s = running_sandbox(), p;
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd in;
	int out[2], flags;

	CHECK_INT(pipe(out), 0);
	flags = fcntl(out[1], F_GETFL);
	po.argv = argv;
	po.stdio[0].kind = MSB_STDIO_PIPE;
	po.stdio[1].kind = po.stdio[2].kind = MSB_STDIO_FD;
	po.stdio[1].fd = po.stdio[2].fd = out[1];
	CHECK_OK(msb_process_start(s, &po, &p, &err), &err);
	CHECK_INT(fcntl(out[1], F_GETFL), flags);
	close(out[1]); /* allowed after the call */
	CHECK_OK(msb_process_stdio(p, 0, &in, &err), &err);
	CHECK((fcntl(in, F_GETFD) & FD_CLOEXEC) != 0 && (fcntl(in, F_GETFL) & O_NONBLOCK) == 0);
	CHECK_INT(write(in, "hello", 5), 5);
	close(in);
	CHECK_TEXT(read_all(out[0]), "helloerr\n");
	close(out[0]);
	expect_exit(p, 0);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

/* A child that keeps the output open keeps no one from learning of the exit. */
REAL(child_holds_the_output)
{
	msb_handle s = running_sandbox(), p = start_shell(s, "sleep 1000 & echo $!; exit 3", MSB_STDIO_PIPE);

	expect_exit(p, 3);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

REAL(several_at_once)
{
	msb_handle s = running_sandbox(), p[8];
	char script[64];
	int i;

	for (i = 0; i < 8; i++) {
		snprintf(script, sizeof script, "sleep 0.%d; exit %d", 8 - i, i);
		p[i] = start_shell(s, script, MSB_STDIO_NULL);
	}
	for (i = 0; i < 8; i++) {
		expect_exit(p[i], i);
		CHECK_INT(msb_close(p[i]), MSB_OK);
	}
	close_and_wait(s);
}

REAL(async_start_on_async_create)
{
	static const char *const argv[] = {"/bin/sh", "-c", "echo hello", NULL};
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s, p;
	msb_os_fd out, ready;

	so.flags = MSB_CREATE_ASYNC;
	po.flags = MSB_START_ASYNC;
	po.argv = argv;
	po.stdio[1].kind = MSB_STDIO_PIPE;
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_OK(msb_process_start(s, &po, &p, &err), &err);
	CHECK_OK(msb_process_stdio(p, 1, &out, &err), &err); /* at once */
	CHECK_OK(msb_fd(p, MSB_EVENT_READY, &ready, &err), &err);
	wait_readable(ready);
	close(ready);
	CHECK_TEXT(read_all(out), "hello\n");
	close(out);
	expect_exit(p, 0);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

REAL(info_pid_and_list)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_sandbox_entry entries[3];
	msb_error err = MSB_ERROR_INIT;
	msb_handle a, b, p;
	int32_t pid;
	uint32_t count;

	so.name = "alpha";
	so.memory_bytes = 256u << 20;
	CHECK_OK(msb_sandbox_create(&so, &a, &err), &err);
	CHECK_RESULT(msb_sandbox_create(&so, &b, &err), MSB_E_EXISTS, &err);
	CHECK_INT(b, 0);
	so.name = "beta";
	CHECK_OK(msb_sandbox_create(&so, &b, &err), &err);
	p = start_ready(a, "echo ready; exec sleep 1000");
	CHECK_OK(msb_sandbox_pid(a, &pid, &err), &err);
	CHECK(is_alive(pid));
	CHECK_OK(msb_sandbox_info_get(a, &info, &err), &err);
	CHECK_INT(info.pid, pid);
	CHECK_INT(info.state, MSB_STATE_RUNNING);
	CHECK_INT(info.engine, MSB_ENGINE_GVISOR);
	CHECK_INT(info.flags, MSB_INFO_ATTACHED | MSB_INFO_OWNER);
	CHECK_INT(info.programs, 1);
	CHECK_INT(info.memory_bytes, 256u << 20);
	CHECK_INT(info.overlay_bytes, 128u << 20);
	CHECK(info.created_unix_ms > 1700000000000 && strstr(info.receipt, ": ") != NULL);
	entries[0].size = sizeof entries[0];
	CHECK_OK(msb_sandbox_list(NULL, entries, 3, &count, &err), &err);
	CHECK_INT(count, 2);
	CHECK_TEXT(entries[0].name, "alpha");
	CHECK_TEXT(entries[1].name, "beta");
	CHECK_INT(entries[0].pid, pid);
	CHECK_INT(entries[0].flags, MSB_INFO_ATTACHED);
	CHECK_INT(entries[1].state, MSB_STATE_RUNNING);
	CHECK_RESULT(msb_sandbox_list(NULL, entries, 1, &count, &err), MSB_E_BUFFER, &err);
	CHECK_INT(count, 2);
	CHECK_RESULT(msb_sandbox_list(NULL, NULL, 0, &count, &err), MSB_E_BUFFER, &err);
	close_and_wait(a);
	CHECK(!is_alive(pid));
	expect_outcome(p, MSB_CAUSE_SIGNALED, SIGTERM); /* close asks before it kills */
	CHECK_INT(msb_close(p), MSB_OK);
	CHECK_OK(msb_sandbox_list(NULL, entries, 3, &count, &err), &err);
	CHECK_INT(count, 1);
	close_and_wait(b);
	CHECK_OK(msb_sandbox_list(NULL, NULL, 0, &count, &err), &err);
	CHECK_INT(count, 0);
}

REAL(kill_sandbox)
{
	msb_handle s = running_sandbox(), p = start_ready(s, "echo ready; exec sleep 1000");
	msb_error err = MSB_ERROR_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	int32_t pid;

	CHECK_OK(msb_sandbox_pid(s, &pid, &err), &err);
	CHECK_OK(msb_kill(s, 0, &err), &err);
	expect_outcome(s, MSB_CAUSE_KILLED, 0);
	expect_outcome(p, MSB_CAUSE_SANDBOX_ENDED, 0);
	CHECK(!is_alive(pid));
	CHECK_RESULT(msb_kill(s, 9, &err), MSB_E_DONE, &err);
	CHECK_RESULT(msb_sandbox_info_get(s, &info, &err), MSB_E_DONE, &err);
	CHECK_RESULT(msb_sandbox_drain(s, 0, &err), MSB_E_DONE, &err);
	CHECK_INT(msb_close(p), MSB_OK);
	CHECK_INT(msb_close(s), MSB_OK);
}

REAL(stop_sandbox)
{
	msb_handle s = running_sandbox();
	msb_handle polite = start_ready(s, "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done");
	msb_handle stubborn = start_ready(s, "trap '' TERM; echo ready; while :; do sleep 1; done");
	msb_error err = MSB_ERROR_INIT;

	CHECK_OK(msb_sandbox_stop(s, 500, &err), &err);
	expect_outcome(s, MSB_CAUSE_STOPPED, 0);
	expect_exit(polite, 9);
	CHECK_OK(msb_wait(stubborn, 0, NULL, &err), &err);
	CHECK_RESULT(msb_sandbox_stop(s, 500, &err), MSB_E_DONE, &err);
	CHECK_INT(msb_close(polite), MSB_OK);
	CHECK_INT(msb_close(stubborn), MSB_OK);
	CHECK_INT(msb_close(s), MSB_OK);
}

REAL(drain_sandbox)
{
	static const char *const argv[] = {"true", NULL};
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_handle s = running_sandbox(), p = start_ready(s, "echo ready; sleep 1; exit 6"), late;
	msb_error err = MSB_ERROR_INIT;

	po.argv = argv;
	CHECK_OK(msb_sandbox_drain(s, -1, &err), &err);
	CHECK_RESULT(msb_process_start(s, &po, &late, &err), MSB_E_STATE, &err);
	expect_exit(p, 6);
	expect_outcome(s, MSB_CAUSE_DRAINED, 0);
	CHECK_INT(msb_close(p), MSB_OK);
	CHECK_INT(msb_close(s), MSB_OK);
}

REAL(drain_deadline)
{
	msb_handle s = running_sandbox(), p = start_ready(s, "echo ready; exec sleep 1000");
	msb_error err = MSB_ERROR_INIT;

	CHECK_OK(msb_sandbox_drain(s, 100, &err), &err);
	expect_outcome(s, MSB_CAUSE_DRAINED, 0);
	expect_outcome(p, MSB_CAUSE_SIGNALED, SIGTERM);
	CHECK_INT(msb_close(p), MSB_OK);
	CHECK_INT(msb_close(s), MSB_OK);
}

REAL(open_and_disarm)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle owner, other, p;
	int32_t pid, same;

	so.name = "kept";
	CHECK_OK(msb_sandbox_create(&so, &owner, &err), &err);
	CHECK_RESULT(msb_sandbox_open("lost", NULL, &other, &err), MSB_E_NOT_FOUND, &err);
	CHECK_OK(msb_sandbox_open("kept", NULL, &other, &err), &err);
	CHECK_OK(msb_sandbox_pid(owner, &pid, &err), &err);
	CHECK_OK(msb_sandbox_pid(other, &same, &err), &err);
	CHECK_INT(same, pid);
	CHECK_OK(msb_sandbox_info_get(other, &info, &err), &err);
	CHECK_INT(info.flags, MSB_INFO_ATTACHED);
	CHECK_RESULT(msb_sandbox_disarm(other, &err), MSB_E_STATE, &err);
	CHECK_INT(msb_close(other), MSB_OK); /* releases it, nothing more */
	p = start_shell(owner, "exit 4", MSB_STDIO_NULL);
	expect_exit(p, 4);
	CHECK_INT(msb_close(p), MSB_OK);

	CHECK_OK(msb_sandbox_disarm(owner, &err), &err);
	CHECK_OK(msb_sandbox_disarm(owner, &err), &err);
	CHECK_INT(msb_close(owner), MSB_OK); /* leaves it running */
	CHECK_OK(msb_sandbox_open("kept", NULL, &other, &err), &err);
	CHECK_OK(msb_sandbox_info_get(other, &info, &err), &err);
	CHECK_INT(info.flags, 0);
	p = start_shell(other, "exit 5", MSB_STDIO_NULL);
	expect_exit(p, 5);
	CHECK_INT(msb_close(p), MSB_OK);
	CHECK(is_alive(pid));
	CHECK_OK(msb_sandbox_stop(other, 0, &err), &err);
	expect_outcome(other, MSB_CAUSE_STOPPED, 0);
	CHECK_INT(msb_close(other), MSB_OK);
	CHECK(!is_alive(pid));
}

REAL(probe)
{
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	uint32_t count;

	CHECK_OK(msb_probe(NULL, &info, &err), &err);
	CHECK_INT(info.engine, MSB_ENGINE_GVISOR);
	CHECK(strstr(info.receipt, ": ") != NULL);
	info.size = offsetof(msb_sandbox_info, receipt) + 16; /* cut text stays terminated */
	memset(info.receipt, 'x', sizeof info.receipt);
	CHECK_OK(msb_probe(&so, &info, &err), &err);
	CHECK_INT(strlen(info.receipt), 15);
	CHECK_INT(info.receipt[16], 'x');
	so.root_kind = MSB_ROOT_DIR;
	so.root_path = "/no/such/directory";
	CHECK_RESULT(msb_probe(&so, &info, &err), MSB_E_NOT_FOUND, &err);
	CHECK_INT(err.stage, MSB_STAGE_ROOT);
	CHECK_OK(msb_sandbox_list(NULL, NULL, 0, &count, &err), &err);
	CHECK_INT(count, 0);
}
