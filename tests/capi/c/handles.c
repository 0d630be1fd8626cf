/* Handles that are wrong in any way, from many threads. */
#include "test.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 8

/* Calls everything that takes a handle; each must say MSB_E_HANDLE. */
static void refuse_all(msb_handle h)
{
	static const char *const argv[] = {"true", NULL};
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle out;
	int32_t done, pid;
	msb_os_fd fd;
	char name[8];

	po.argv = argv;
	CHECK_RESULT(msb_sandbox_pid(h, &pid, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_name(h, name, sizeof name, NULL, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_info_get(h, &info, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_drain(h, 0, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_stop(h, 0, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_disarm(h, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_process_start(h, &po, &out, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_process_stdio(h, 0, &fd, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_pool_take(h, NULL, &out, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_pool_resize(h, 1, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_kill(h, 9, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_wait(h, -1, &outcome, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_try_wait(h, &done, &outcome, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_fd(h, MSB_EVENT_DONE, &fd, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_cancel(h, &err), MSB_E_HANDLE, &err);
	CHECK_INT(msb_close(h), h == 0 ? MSB_OK : MSB_E_HANDLE);
}

static void *refuse_thread(void *argument)
{
	const msb_handle *live = argument;
	int bit;

	for (bit = 0; bit < 64; bit++) {
		refuse_all((msb_handle)1 << bit);
		refuse_all(live[0] ^ (msb_handle)1 << bit);
		refuse_all(live[1] ^ (msb_handle)1 << bit);
	}
	refuse_all(0);
	refuse_all(UINT64_MAX);
	return NULL;
}

static void on_threads(void *(*f)(void *), void *argument)
{
	pthread_t threads[THREADS];
	int i;

	for (i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, f, argument), 0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

TEST(forged_handles)
{
	msb_handle live[2];
	msb_error err = MSB_ERROR_INIT;
	int32_t pid;

	live[0] = starting_sandbox();
	live[1] = starting_process(live[0]);
	CHECK(live[0] < (msb_handle)1 << 53 && live[1] < (msb_handle)1 << 53);
	on_threads(refuse_thread, live);
	CHECK_OK(msb_sandbox_pid(live[0], &pid, &err), &err); /* the real ones survive it */
	CHECK_OK(msb_cancel(live[1], &err), &err);
	close_and_wait(live[0]);
	CHECK_INT(msb_close(live[1]), MSB_OK);
	refuse_all(live[0]);
	refuse_all(live[1]);
}

TEST(wrong_kind)
{
	static const char *const argv[] = {"true", NULL};
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_handle s = starting_sandbox(), p = starting_process(s), out;
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd;
	char name[8];
	int32_t pid;

	po.argv = argv;
	CHECK_RESULT(msb_sandbox_pid(p, &pid, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_name(p, name, sizeof name, NULL, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_info_get(p, &info, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_drain(p, 0, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_stop(p, 0, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_sandbox_disarm(p, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_process_start(p, &po, &out, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_process_stdio(s, 0, &fd, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_kill(s, 15, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_kill(s, -1, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_kill(p, 0, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_kill(p, 65, &err), MSB_E_INVALID, &err);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

static atomic_int closed;

static void *close_thread(void *argument)
{
	msb_result r = msb_close(*(msb_handle *)argument);

	CHECK(r == MSB_OK || r == MSB_E_HANDLE);
	if (r == MSB_OK)
		atomic_fetch_add(&closed, 1);
	refuse_all(*(msb_handle *)argument);
	return NULL;
}

TEST(close_from_many_threads)
{
	msb_handle s = starting_sandbox(), p;
	int i;

	for (i = 0; i < 200; i++) {
		atomic_store(&closed, 0);
		p = starting_process(s);
		on_threads(close_thread, &p);
		CHECK_INT(atomic_load(&closed), 1);
	}
	close_and_wait(s);
}

TEST(stale_handle_of_a_reused_slot)
{
	msb_handle s = starting_sandbox(), old = starting_process(s), fresh;

	CHECK_INT(msb_close(old), MSB_OK);
	fresh = starting_process(s);
	CHECK_INT(fresh & 0xffffff, old & 0xffffff);
	refuse_all(old);
	CHECK_INT(msb_close(fresh), MSB_OK);
	close_and_wait(s);
}
