/*
 * Random calls from several threads on shared handles: whatever the order, no
 * call crashes or hangs, each result is a documented one, and in the end
 * nothing is left. $DRIVER_CALLS (10 million) and $DRIVER_SEED (1) set the run.
 */
#include "test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define THREADS 4
#define SANDBOXES 6
#define PROCESSES 48

static _Atomic msb_handle sandboxes[SANDBOXES], processes[PROCESSES];
static atomic_long calls_left;
static int with_real;

struct state {
	uint64_t random;
	int fds[8];
	msb_error err;
	msb_outcome outcome;
	msb_sandbox_info info;
};

/* xorshift64*: the run depends on the seed and the scheduler alone. */
static uint32_t random_below(struct state *s, uint32_t n)
{
	s->random ^= s->random >> 12;
	s->random ^= s->random << 25;
	s->random ^= s->random >> 27;
	return (uint32_t)((s->random * 2685821657736338717u) >> 33) % n;
}

static void check(struct state *s, msb_result result)
{
	CHECK(result == MSB_OK || strcmp(msb_result_name(result), "MSB_E_?") != 0);
	CHECK(result != MSB_E_INTERNAL && result != MSB_E_FORKED);
	CHECK_INT(s->err.code, result);
}

/* A handle of the pool, now and then one that is stale or made up. */
static msb_handle any_handle(struct state *s)
{
	msb_handle h;

	switch (random_below(s, 16)) {
	case 0:
		return s->random & (((uint64_t)1 << 53) - 1);
	case 1:
		return 0;
	case 2:
		h = atomic_load(&sandboxes[random_below(s, SANDBOXES)]);
		return h ^ (msb_handle)1 << random_below(s, 64);
	case 3:
	case 4:
	case 5:
		return atomic_load(&sandboxes[random_below(s, SANDBOXES)]);
	default:
		return atomic_load(&processes[random_below(s, PROCESSES)]);
	}
}

/* Puts a new handle into a pool and closes the one that was there. */
static void replace(_Atomic msb_handle *place, msb_handle h)
{
	msb_result r = msb_close(atomic_exchange(place, h));

	CHECK(r == MSB_OK || r == MSB_E_HANDLE);
}

static void keep_fd(struct state *s, int fd)
{
	int *place = &s->fds[random_below(s, 8)];

	if (fd < 0)
		return;
	if (*place >= 0)
		close(*place);
	*place = fd;
}

static void create(struct state *s)
{
	static const char *const kinds[] = {"hangs", "hangs", "exits", "silent", "dies", "garbage", "absent"};
	msb_sandbox_options o = MSB_SANDBOX_OPTIONS_INIT;
	char path[4096];
	msb_handle h;
	msb_result r;

	o.flags = MSB_CREATE_ASYNC | (random_below(s, 50) == 0 ? 0xf0 : 0);
	o.stop_grace_ms = -1;
	if (!with_real || random_below(s, 4) == 0) {
		snprintf(path, sizeof path, "%s/%s", getenv("FAKES"), kinds[random_below(s, 7)]);
		o.msb_path = path;
	}
	if (random_below(s, 50) == 0)
		o.memory_bytes = s->random;
	r = msb_sandbox_create(&o, &h, &s->err);
	check(s, r);
	CHECK((r == MSB_OK) == (h != 0));
	if (h != 0)
		replace(&sandboxes[random_below(s, SANDBOXES)], h);
}

static void start(struct state *s)
{
	static const char *const script[] = {"/bin/sh", "-c", "echo $0; exec cat", NULL}, *const absent[] = {"/absent", NULL};
	msb_process_options o = MSB_PROCESS_OPTIONS_INIT;
	msb_handle h;
	msb_result r;
	int i;

	o.flags = MSB_START_ASYNC;
	o.argv = random_below(s, 4) == 0 ? absent : script;
	for (i = 0; i < 3; i++) {
		o.stdio[i].kind = random_below(s, 3) == 0 ? MSB_STDIO_PIPE : MSB_STDIO_NULL;
		if (random_below(s, 40) == 0)
			o.stdio[i].kind = random_below(s, 8);
	}
	r = msb_process_start(any_handle(s), &o, &h, &s->err);
	check(s, r);
	CHECK((r == MSB_OK) == (h != 0));
	if (h != 0)
		replace(&processes[random_below(s, PROCESSES)], h);
}

static void step(struct state *s)
{
	uint32_t dice = random_below(s, 100000), count;
	msb_handle h = any_handle(s);
	msb_sandbox_entry entry[2];
	char name[140];
	int32_t number;
	msb_os_fd fd;

	if (dice < 10) {
		create(s);
	} else if (dice < 500) {
		start(s);
	} else if (dice < 600) {
		check(s, msb_fd(h, random_below(s, 5), &fd, &s->err));
		keep_fd(s, fd);
	} else if (dice < 1500) {
		check(s, msb_process_stdio(h, random_below(s, 4), &fd, &s->err));
		keep_fd(s, fd);
	} else if (dice < 1520) {
		check(s, msb_wait(h, random_below(s, 3), &s->outcome, &s->err));
	} else if (dice < 1700) {
		check(s, msb_kill(h, (int32_t)random_below(s, 70) - 2, &s->err));
	} else if (dice < 1702) {
		check(s, msb_sandbox_stop(h, random_below(s, 50), &s->err));
	} else if (dice < 1704) {
		check(s, msb_sandbox_drain(h, random_below(s, 50), &s->err));
	} else if (dice < 1800) {
		check(s, msb_sandbox_info_get(h, &s->info, &s->err));
	} else if (dice < 1810) {
		entry[0].size = sizeof entry[0];
		check(s, msb_sandbox_list(NULL, entry, random_below(s, 3), &count, &s->err));
	} else if (dice < 1812) {
		check(s, msb_sandbox_open(random_below(s, 2) ? "absent" : "a/b", NULL, &h, &s->err));
	} else if (dice < 2500) {
		replace(&processes[random_below(s, PROCESSES)], 0);
	} else if (dice < 2505) {
		replace(&sandboxes[random_below(s, SANDBOXES)], 0);
	} else if (dice < 10000) {
		check(s, msb_cancel(h, &s->err));
	} else if (dice < 30000) {
		check(s, msb_sandbox_name(h, name, random_below(s, sizeof name), &count, &s->err));
	} else if (dice < 50000) {
		check(s, msb_wait(h, 0, &s->outcome, &s->err));
	} else if (dice < 70000) {
		check(s, msb_try_wait(h, &number, &s->outcome, &s->err));
	} else {
		check(s, msb_sandbox_pid(h, &number, &s->err));
	}
}

static void *work(void *argument)
{
	struct state s = {0, {-1, -1, -1, -1, -1, -1, -1, -1}, MSB_ERROR_INIT, MSB_OUTCOME_INIT, MSB_SANDBOX_INFO_INIT};
	int i;

	s.random = *(uint64_t *)argument;
	while (atomic_fetch_sub(&calls_left, 1) > 0)
		step(&s);
	for (i = 0; i < 8; i++) {
		if (s.fds[i] >= 0)
			close(s.fds[i]);
	}
	return NULL;
}

/* Makes the calls, closes every handle, and waits until the descriptors are back. */
static void drive(long calls, uint64_t seed, int fds)
{
	struct timespec pause = {0, 20000000};
	pthread_t threads[THREADS];
	uint64_t seeds[THREADS];
	int i;

	atomic_store(&calls_left, calls);
	for (i = 0; i < THREADS; i++) {
		seeds[i] = (seed + (uint64_t)i) * 0x9e3779b97f4a7c15u | 1;
		CHECK_INT(pthread_create(&threads[i], NULL, work, &seeds[i]), 0);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; i < PROCESSES; i++)
		replace(&processes[i], 0);
	for (i = 0; i < SANDBOXES; i++)
		replace(&sandboxes[i], 0);
	for (i = 0; i < 1000 && count_fds() > fds; i++)
		nanosleep(&pause, NULL);
	CHECK_INT(count_fds(), fds);
}

static long resident_kb(void)
{
	char line[256];
	long kb = 0;
	FILE *f = fopen("/proc/self/status", "r");

	CHECK(f != NULL);
	while (fgets(line, sizeof line, f) != NULL)
		sscanf(line, "VmRSS: %ld", &kb);
	fclose(f);
	return kb;
}

static long number_from(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text != NULL && text[0] != '\0' ? atol(text) : otherwise;
}

static void drive_and_compare(long calls)
{
	uint64_t seed = (uint64_t)number_from("DRIVER_SEED", 1);
	int fds, threads;
	long kb;
	msb_handle h;

	close_and_wait(starting_sandbox()); /* the runtime's own descriptors are open now */
	fds = count_fds();
	drive(calls / 20, seed, fds);
	threads = count_threads();
	kb = resident_kb();
	drive(calls, seed + 1000, fds);
	printf("%ld calls: threads %d, then %d; resident %ld kB, then %ld kB\n", calls, threads, count_threads(), kb,
	       resident_kb());
	CHECK(count_threads() <= threads + 16);
	CHECK(resident_kb() <= kb + 32768);
	h = starting_sandbox(); /* every slot came back: the next handle has one of the first */
	CHECK((h & 0xffffff) < SANDBOXES + PROCESSES + 2 * THREADS);
	close_and_wait(h);
}

TEST(random_driver)
{
	drive_and_compare(number_from("DRIVER_CALLS", 10000000));
}

REAL(random_driver_with_sandboxes)
{
	with_real = 1;
	drive_and_compare(number_from("DRIVER_CALLS", 10000000) / 20);
}
