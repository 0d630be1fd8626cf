/* Blocking calls, and what wakes them. */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct call {
	msb_handle handle;
	int start; /* msb_process_start instead of msb_wait */
	msb_result result;
	volatile int tid;
	pthread_t thread;
};

static void *blocking_call(void *argument)
{
	static const char *const argv[] = {"true", NULL};
	struct call *call = argument;
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle out;

	call->tid = (int)syscall(SYS_gettid);
	po.argv = argv;
	call->result = call->start ? msb_process_start(call->handle, &po, &out, &err) : msb_wait(call->handle, -1, NULL, &err);
	CHECK_INT(err.code, call->result);
	return NULL;
}

/* Starts the call and waits until its thread sleeps in the kernel. */
static void begin(struct call *call)
{
	char path[64], text[256], *state;
	int asleep = 0;
	FILE *f;

	call->tid = 0;
	CHECK_INT(pthread_create(&call->thread, NULL, blocking_call, call), 0);
	while (asleep < 3) {
		struct timespec pause = {0, 5000000};

		nanosleep(&pause, NULL);
		if (call->tid == 0)
			continue;
		snprintf(path, sizeof path, "/proc/self/task/%d/stat", call->tid);
		f = fopen(path, "r");
		CHECK(f != NULL && fgets(text, sizeof text, f) != NULL);
		fclose(f);
		state = strrchr(text, ')');
		CHECK(state != NULL);
		asleep = state[2] == 'S' ? asleep + 1 : 0;
	}
}

static void expect(struct call *call, msb_result want)
{
	pthread_join(call->thread, NULL);
	CHECK_INT(call->result, want);
}

TEST(cancel_wakes_every_waiter_once)
{
	msb_handle s = starting_sandbox(), p = starting_process(s);
	struct call calls[4];
	msb_error err = MSB_ERROR_INIT;
	int i;

	memset(calls, 0, sizeof calls);
	for (i = 0; i < 4; i++) {
		calls[i].handle = i < 2 ? p : s;
		calls[i].start = i == 3;
		begin(&calls[i]);
	}
	CHECK_OK(msb_cancel(p, &err), &err);
	expect(&calls[0], MSB_E_CANCELED);
	expect(&calls[1], MSB_E_CANCELED);
	CHECK_OK(msb_cancel(s, &err), &err);
	expect(&calls[2], MSB_E_CANCELED);
	expect(&calls[3], MSB_E_CANCELED);
	CHECK_RESULT(msb_wait(s, 10, NULL, &err), MSB_E_TIMED_OUT, &err); /* later calls are not canceled */
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

TEST(close_wakes_waiters)
{
	msb_handle s = starting_sandbox(), p = starting_process(s);
	struct call on_process = {0, 0, 0, 0, 0}, on_sandbox = {0, 0, 0, 0, 0}, start = {0, 1, 0, 0, 0};

	on_process.handle = p;
	on_sandbox.handle = start.handle = s;
	begin(&on_process);
	begin(&on_sandbox);
	begin(&start);
	CHECK_INT(msb_close(p), MSB_OK);
	expect(&on_process, MSB_E_CLOSED);
	close_and_wait(s);
	pthread_join(on_sandbox.thread, NULL);
	CHECK_INT(on_sandbox.result, MSB_E_CLOSED);
	pthread_join(start.thread, NULL);
	CHECK_INT(start.result, MSB_E_CLOSED);
}

TEST(timeouts)
{
	msb_handle s = starting_sandbox();
	msb_error err = MSB_ERROR_INIT;
	int64_t start = now_ms();
	int32_t done = 9;

	CHECK_RESULT(msb_wait(s, 0, NULL, &err), MSB_E_TIMED_OUT, &err);
	CHECK(now_ms() - start < 100);
	CHECK_RESULT(msb_wait(s, 150, NULL, &err), MSB_E_TIMED_OUT, &err);
	CHECK(now_ms() - start >= 150);
	CHECK_OK(msb_try_wait(s, &done, NULL, &err), &err);
	CHECK_INT(done, 0);
	close_and_wait(s);
}

/* The failed start of an asynchronous create comes out of every wait, again and again. */
TEST(failed_start_stays)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s;
	msb_os_fd ready, fd;
	int32_t done;
	int i;

	so.flags = MSB_CREATE_ASYNC;
	so.msb_path = fake("exits");
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_OK(msb_fd(s, MSB_EVENT_READY, &ready, &err), &err);
	wait_readable(ready);
	close(ready);
	for (i = 0; i < 3; i++) {
		outcome.cause = 0;
		CHECK_RESULT(msb_wait(s, -1, &outcome, &err), MSB_E_LAUNCH, &err);
		CHECK_INT(outcome.cause, MSB_CAUSE_START_FAILED);
		CHECK_INT(outcome.exit_code, -1);
		CHECK_INT(err.stage, MSB_STAGE_LAUNCH);
		CHECK_RESULT(msb_wait(s, 0, NULL, &err), MSB_E_LAUNCH, &err);
		outcome.cause = 0;
		CHECK_RESULT(msb_try_wait(s, &done, &outcome, &err), MSB_E_LAUNCH, &err);
		CHECK_INT(done, 1);
		CHECK_INT(outcome.cause, MSB_CAUSE_START_FAILED);
	}
	CHECK_OK(msb_fd(s, MSB_EVENT_DONE, &fd, &err), &err); /* after the event: at once */
	wait_readable(fd);
	close(fd);
	CHECK_RESULT(msb_kill(s, 9, &err), MSB_E_DONE, &err);
	CHECK_RESULT(msb_sandbox_stop(s, 0, &err), MSB_E_DONE, &err);
	CHECK_RESULT(msb_sandbox_drain(s, 0, &err), MSB_E_DONE, &err);
	CHECK_RESULT(msb_sandbox_disarm(s, &err), MSB_E_DONE, &err);
	CHECK_INT(msb_close(s), MSB_OK);
}

TEST(event_descriptor)
{
	msb_handle s = starting_sandbox();
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd[3];
	char byte[2];
	int i;

	for (i = 0; i < 3; i++) {
		CHECK_OK(msb_fd(s, i == 0 ? MSB_EVENT_READY : i == 1 ? MSB_EVENT_DONE : MSB_EVENT_READY | MSB_EVENT_DONE, &fd[i],
		                &err), &err);
		CHECK((fcntl(fd[i], F_GETFD) & FD_CLOEXEC) != 0);
		CHECK((fcntl(fd[i], F_GETFL) & O_NONBLOCK) != 0);
		CHECK(read(fd[i], byte, 2) == -1 && errno == EAGAIN);
	}
	CHECK_INT(msb_close(s), MSB_OK); /* it goes on to work */
	for (i = 0; i < 3; i++) {
		ssize_t n;

		wait_readable(fd[i]);
		CHECK_INT(read(fd[i], byte, 2), 1);
		while ((n = read(fd[i], byte, 2)) == -1 && errno == EAGAIN)
			wait_readable(fd[i]);
		CHECK_INT(n, 0);
		close(fd[i]);
	}
}

/* Readers that are gone cost nothing: no SIGPIPE, and no descriptor for long. */
TEST(event_descriptor_dropped)
{
	msb_handle s;
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd, done;
	int i, before;

	signal(SIGPIPE, SIG_DFL);
	close_and_wait(starting_sandbox());
	before = count_fds();
	s = starting_sandbox();
	for (i = 0; i < 5000; i++) {
		CHECK_OK(msb_fd(s, MSB_EVENT_DONE, &fd, &err), &err);
		close(fd);
	}
	CHECK(count_fds() <= before + 60); /* the sandbox's own, and a few not yet swept */
	CHECK_OK(msb_fd(s, MSB_EVENT_DONE, &done, &err), &err);
	for (i = 0; i < 5; i++) {
		CHECK_OK(msb_fd(s, MSB_EVENT_DONE, &fd, &err), &err);
		close(fd);
	}
	CHECK_INT(msb_close(s), MSB_OK);
	wait_readable(done);
	close(done);
}

/* A descriptor per call, all kept: each gets its byte. */
TEST(event_descriptor_many)
{
	msb_handle s = starting_sandbox();
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd[200];
	int i;

	for (i = 0; i < 200; i++)
		CHECK_OK(msb_fd(s, MSB_EVENT_DONE, &fd[i], &err), &err);
	CHECK_INT(msb_close(s), MSB_OK);
	for (i = 0; i < 200; i++) {
		wait_readable(fd[i]);
		close(fd[i]);
	}
}
