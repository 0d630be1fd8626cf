/* Pools: wrong arguments, wrong handles, and what a take promises. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

/* A pool whose sandboxes never get ready. */
static msb_handle hanging_pool(void)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_pool_options options = MSB_POOL_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle pool;

	so.msb_path = fake("hangs");
	options.flags = MSB_CREATE_ASYNC;
	options.sandbox = &so;
	CHECK_OK(msb_pool_create(&options, &pool, &err), &err);
	return pool;
}

static msb_handle full_pool(uint32_t size)
{
	msb_pool_options options = MSB_POOL_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle pool;

	options.pool_size = size;
	CHECK_OK(msb_pool_create(&options, &pool, &err), &err);
	return pool;
}

static msb_pool_info pool_info(msb_handle pool)
{
	msb_pool_info info = MSB_POOL_INFO_INIT;
	msb_error err = MSB_ERROR_INIT;

	CHECK_OK(msb_pool_info_get(pool, &info, &err), &err);
	return info;
}

TEST(pool_arguments)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_pool_options po = MSB_POOL_OPTIONS_INIT;
	msb_take_options to = MSB_TAKE_OPTIONS_INIT;
	msb_pool_info info = MSB_POOL_INFO_INIT;
	msb_handle pool = hanging_pool(), out = 9;
	msb_error err = MSB_ERROR_INIT;

	so.msb_path = fake("hangs");
	po.sandbox = &so;
	CHECK_RESULT(msb_pool_create(&po, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_pool_take(pool, &to, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_pool_info_get(pool, NULL, &err), MSB_E_INVALID, &err);
	po.size = 4;
	CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_INVALID, &err);
	CHECK_INT(out, 0);
	po.size = sizeof po;
	po.flags = MSB_CREATE_DETACHED;
	CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_TOO_NEW, &err);
	po.flags = 0;
	po.pool_size = 1025;
	CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_INVALID, &err);
	po.pool_size = UINT32_MAX;
	CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_INVALID, &err);
	po.pool_size = 2;
	po.idle_size = 3;
	CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_INVALID, &err);
	po.idle_size = 0;
	po.max_sandboxes = 1;
	CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_INVALID, &err);
	po.max_sandboxes = 0;
	po.max_boots = UINT32_MAX;
	CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_INVALID, &err);
	po.max_boots = 0;
	po.idle_shrink_ms = -1;
	CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_INVALID, &err);
	po.idle_shrink_ms = INT64_MAX;
	CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_INVALID, &err);
	po.idle_shrink_ms = 0;
	so.name = "n";
	CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_INVALID, &err);
	so.name = NULL;
	for (so.flags = 1; so.flags <= MSB_CREATE_REPLACE; so.flags <<= 1)
		CHECK_RESULT(msb_pool_create(&po, &out, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_pool_take(pool, &to, NULL, &err), MSB_E_INVALID, &err);
	to.flags = MSB_CREATE_STORED;
	CHECK_RESULT(msb_pool_take(pool, &to, &out, &err), MSB_E_INVALID, &err);
	to.flags = 1u << 30;
	CHECK_RESULT(msb_pool_take(pool, &to, &out, &err), MSB_E_TOO_NEW, &err);
	to.flags = MSB_CREATE_REPLACE;
	CHECK_RESULT(msb_pool_take(pool, &to, &out, &err), MSB_E_INVALID, &err);
	to.flags = 0;
	to.name = "a/b";
	CHECK_RESULT(msb_pool_take(pool, &to, &out, &err), MSB_E_INVALID, &err);
	CHECK_INT(out, 0);
	CHECK_RESULT(msb_pool_resize(pool, 1025, &err), MSB_E_INVALID, &err);
	info.size = 12;
	CHECK_RESULT(msb_pool_info_get(pool, &info, &err), MSB_E_INVALID, &err);
	info.size = 16; /* through pool_size and ready */
	info.booting = 77;
	CHECK_OK(msb_pool_info_get(pool, &info, &err), &err);
	CHECK_INT(info.pool_size, 1);
	CHECK_INT(info.booting, 77);
	close_and_wait(pool);
}

TEST(pool_handles)
{
	msb_handle pool = hanging_pool(), sandbox = starting_sandbox(), out;
	msb_pool_info info = MSB_POOL_INFO_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	int32_t n;
	msb_os_fd fd;

	CHECK(pool < (msb_handle)1 << 53);
	CHECK_RESULT(msb_pool_take(sandbox, NULL, &out, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_pool_resize(sandbox, 1, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_pool_info_get(sandbox, &info, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_pid(pool, &n, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_stop(pool, 0, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_process_stdio(pool, 0, &fd, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_kill(pool, 9, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_wait(pool, 0, &outcome, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_try_wait(pool, &n, &outcome, &err), MSB_E_HANDLE, &err);
	close_and_wait(sandbox);
	close_and_wait(pool);
	CHECK_RESULT(msb_pool_take(pool, NULL, &out, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_pool_resize(pool, 1, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_pool_info_get(pool, &info, &err), MSB_E_HANDLE, &err);
	CHECK_INT(msb_close(pool), MSB_E_HANDLE);
	CHECK_RESULT(msb_pool_take(0, NULL, &out, &err), MSB_E_HANDLE, &err);
}

static msb_handle shared;
static atomic_int waiting, taken;

static void *take_in_vain(void *want)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle out = 9;

	atomic_fetch_add(&waiting, 1);
	CHECK_RESULT(msb_pool_take(shared, NULL, &out, &err), *(msb_result *)want, &err);
	CHECK_INT(out, 0);
	return NULL;
}

/* Threads that wait for a take until f ends their waiting. */
static void end_waiting(int count, msb_result want, void (*f)(void))
{
	pthread_t threads[64];
	int i;

	for (i = 0; i < count; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, take_in_vain, &want), 0);
	while ((int)pool_info(shared).waiting < count)
		usleep(1000);
	f();
	for (i = 0; i < count; i++)
		CHECK_INT(pthread_join(threads[i], NULL), 0);
}

static void cancel_shared(void)
{
	CHECK_INT(msb_cancel(shared, NULL), MSB_OK);
}

static void close_shared(void)
{
	close_and_wait(shared);
}

TEST(pool_cancel_and_close_during_take)
{
	shared = hanging_pool();
	end_waiting(8, MSB_E_CANCELED, cancel_shared);
	while (pool_info(shared).waiting > 0) /* the handles of those takes are gone */
		usleep(1000);
	end_waiting(64, MSB_E_CLOSED, close_shared);
}

TEST(pool_take_times_out)
{
	msb_take_options to = MSB_TAKE_OPTIONS_INIT;
	msb_handle pool = hanging_pool(), out;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd;

	to.take_timeout_ms = 50;
	CHECK_RESULT(msb_pool_take(pool, &to, &out, &err), MSB_E_TIMED_OUT, &err);
	to.flags = MSB_CREATE_ASYNC;
	CHECK_OK(msb_pool_take(pool, &to, &out, &err), &err);
	CHECK_OK(msb_fd(out, MSB_EVENT_READY, &fd, &err), &err);
	wait_readable(fd);
	close(fd);
	CHECK_RESULT(msb_wait(out, -1, &outcome, &err), MSB_E_TIMED_OUT, &err);
	CHECK_INT(outcome.cause, MSB_CAUSE_START_FAILED);
	close_and_wait(out);
	close_and_wait(pool);
}

TEST(pool_that_cannot_boot)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_pool_options po = MSB_POOL_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_pool_info info;
	msb_handle pool = 9, out;
	msb_os_fd fd;

	so.msb_path = fake("complains");
	po.sandbox = &so;
	CHECK_RESULT(msb_pool_create(&po, &pool, &err), MSB_E_LAUNCH, &err);
	CHECK(strstr(err.message, "out of order") != NULL);
	CHECK_INT(pool, 0);
	po.flags = MSB_CREATE_ASYNC;
	CHECK_OK(msb_pool_create(&po, &pool, &err), &err);
	CHECK_OK(msb_fd(pool, MSB_EVENT_READY, &fd, &err), &err);
	wait_readable(fd);
	close(fd);
	info = pool_info(pool);
	CHECK_INT(info.flags, MSB_POOL_UNFILLED);
	CHECK_INT(info.last_code, MSB_E_LAUNCH);
	CHECK_INT(info.last_stage, MSB_STAGE_LAUNCH);
	CHECK(strstr(info.last_message, "out of order") != NULL);
	CHECK(info.failed > 0 && info.failed_in_row > 0);
	CHECK_RESULT(msb_pool_take(pool, NULL, &out, &err), MSB_E_LAUNCH, &err);
	CHECK(strstr(err.message, "out of order") != NULL);
	close_and_wait(pool);
}

REAL(pool_take)
{
	msb_handle pool = full_pool(1), sandbox, process;
	msb_take_options to = MSB_TAKE_OPTIONS_INIT;
	static const char *const labels[] = {"tenant=a", NULL};
	msb_list_options lo = MSB_LIST_OPTIONS_INIT;
	msb_sandbox_entry entries[3];
	msb_error err = MSB_ERROR_INIT;
	msb_pool_info info;
	uint32_t count;
	msb_os_fd fd;
	char name[136];

	memset(entries, 0, sizeof entries);
	entries[0].size = sizeof entries[0];
	CHECK_OK(msb_sandbox_list(NULL, entries, 3, &count, &err), &err);
	CHECK_INT(count, 0);
	lo.flags = MSB_LIST_POOLED;
	CHECK_OK(msb_sandbox_list(&lo, entries, 3, &count, &err), &err);
	CHECK_INT(count, 1);
	CHECK_INT(entries[0].flags, MSB_INFO_POOLED | MSB_INFO_ATTACHED);

	to.name = "tenant";
	to.labels = labels;
	CHECK_OK(msb_pool_take(pool, &to, &sandbox, &err), &err);
	CHECK_OK(msb_sandbox_name(sandbox, name, sizeof name, NULL, &err), &err);
	CHECK_TEXT(name, "tenant");
	process = start_shell(sandbox, "echo from a pool", MSB_STDIO_PIPE);
	CHECK_OK(msb_process_stdio(process, 1, &fd, &err), &err);
	CHECK_TEXT(read_all(fd), "from a pool\n");
	close(fd);
	expect_exit(process, 0);
	msb_close(process);
	CHECK_OK(msb_sandbox_list(NULL, entries, 3, &count, &err), &err);
	CHECK_INT(count, 1);
	CHECK_TEXT(entries[0].name, "tenant");
	CHECK_TEXT(entries[0].labels, "tenant=a");

	info = pool_info(pool);
	CHECK_INT(info.taken, 1);
	CHECK_INT(info.taken_at_once, 1);
	CHECK_INT(info.living, 1);
	close_and_wait(pool);
	process = start_shell(sandbox, "exit 3", MSB_STDIO_NULL); /* it outlives its pool */
	expect_exit(process, 3);
	msb_close(process);
	close_and_wait(sandbox);
	CHECK_OK(msb_sandbox_list(&lo, entries, 3, &count, &err), &err);
	CHECK_INT(count, 0);
}

static void *take_one(void *unused)
{
	msb_take_options to = MSB_TAKE_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle sandbox, process;
	msb_result result;

	(void)unused;
	to.take_timeout_ms = 120000;
	result = msb_pool_take(shared, &to, &sandbox, &err);
	CHECK_RESULT(result, MSB_OK, &err);
	process = start_shell(sandbox, "test ! -e /tmp/seen && touch /tmp/seen", MSB_STDIO_NULL);
	expect_exit(process, 0); /* each is new */
	msb_close(process);
	close_and_wait(sandbox);
	atomic_fetch_add(&taken, 1);
	return NULL;
}

REAL(pool_take_from_64_threads)
{
	pthread_t threads[64];
	msb_pool_options po = MSB_POOL_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	int i;

	po.pool_size = 4;
	po.max_sandboxes = 12;
	CHECK_OK(msb_pool_create(&po, &shared, &err), &err);
	for (i = 0; i < 64; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, take_one, NULL), 0);
	for (i = 0; i < 64; i++)
		CHECK_INT(pthread_join(threads[i], NULL), 0);
	CHECK_INT(taken, 64);
	CHECK_INT(pool_info(shared).taken, 64);
	CHECK_INT(pool_info(shared).failed, 0);
	close_and_wait(shared);
}

REAL(pool_async_and_resize)
{
	msb_pool_options po = MSB_POOL_OPTIONS_INIT;
	msb_take_options to = MSB_TAKE_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle pool, sandbox, process;
	msb_os_fd fd;
	int32_t pid;

	po.flags = MSB_CREATE_ASYNC;
	CHECK_OK(msb_pool_create(&po, &pool, &err), &err);
	to.flags = MSB_CREATE_ASYNC;
	CHECK_OK(msb_pool_take(pool, &to, &sandbox, &err), &err);
	process = starting_process(sandbox); /* waits its turn */
	expect_exit(process, 0);
	msb_close(process);
	CHECK_OK(msb_fd(sandbox, MSB_EVENT_READY, &fd, &err), &err);
	wait_readable(fd);
	close(fd);
	CHECK_OK(msb_sandbox_pid(sandbox, &pid, &err), &err);
	CHECK(pid > 1);
	close_and_wait(sandbox);
	CHECK_OK(msb_fd(pool, MSB_EVENT_READY, &fd, &err), &err);
	wait_readable(fd);
	close(fd);
	CHECK_OK(msb_pool_resize(pool, 3, &err), &err);
	while (pool_info(pool).ready < 3)
		usleep(1000);
	CHECK_OK(msb_pool_resize(pool, 0, &err), &err);
	CHECK_INT(pool_info(pool).ready, 0);
	close_and_wait(pool);
}
