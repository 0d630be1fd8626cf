/*
 * Commands about whole lives of sandboxes, one after another and many at once:
 *
 *     kill ROOT-KIND ROOT ARGV...  start, "ready" from ARGV, msb_kill, msb_wait, DONE:
 *                                  waited, done, nothing left, processes left at done
 *     cycle ROOT-KIND ROOT         create, close, DONE: closed, slot of the handle
 *     look                         threads, descriptors, children, files in the state
 *                                  directory, resident bytes
 *     audit                        lines of msb_audit that belong to nothing
 *     own ROOT-KIND ROOT ARGV...   runs ARGV with our standard output; ends with it
 *     lives COUNT THREADS PLACE    COUNT whole lives: ended, failures
 *     raise COUNT THREADS PLACE    COUNT that stay: all ready, failures
 *     drop                         ends those: ended
 *     metrics                      one msb_metrics_list: read, samples in it
 *
 *     fill SIZE ROOT-KIND ROOT     makes a pool and waits until it is full
 *     pooled ARGV...               once it is full: take, start, first byte, end, closed:
 *                                  taken, first, closed
 *     empty                        ends the pool
 *
 * PLACE is "library METRICS-MS ROOT-KIND ROOT [ARGV...]" or "peer ARGV...", whose
 * last word gets the number of the life. The first line of ARGV's output is read;
 * in raise nothing runs without ARGV.
 */
#define _GNU_SOURCE
#include "host.h"
#include "processes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_LIVES 1024
#define MAX_THREADS 64

/* Reads the first byte that the program writes. */
static int first_byte(const struct program *p)
{
	struct pollfd event = { .fd = p->out, .events = POLLIN };
	char byte;

	if (poll(&event, 1, TIMEOUT_MS) != 1 || read(p->out, &byte, 1) != 1)
		return fail("first byte", "the program wrote nothing");
	return 0;
}

struct death {
	int64_t waited, done, nothing;
	int left; /* processes at done */
};

static int killed(msb_handle made, struct death *d)
{
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	struct pollfd event = { .events = POLLIN };
	struct processes all;
	int32_t pid;

	if (msb_sandbox_pid(made, &pid, &err) != MSB_OK || msb_fd(made, MSB_EVENT_DONE, &event.fd, &err) != MSB_OK)
		return fail("kill", err.message);
	if (processes_below(pid, &all) != 0)
		return -1;
	int64_t start = now_ns();

	if (msb_kill(made, SIGKILL, &err) != MSB_OK || msb_wait(made, TIMEOUT_MS, &outcome, &err) != MSB_OK)
		return fail("kill", err.message);
	d->waited = now_ns() - start;
	if (poll(&event, 1, TIMEOUT_MS) != 1)
		return fail("kill", "the sandbox is not gone in time");
	d->done = now_ns() - start;
	d->left = processes_left(&all);
	int late = processes_wait(&all, TIMEOUT_MS) != 0;

	d->nothing = now_ns() - start;
	processes_release(&all);
	close(event.fd);
	if (late)
		return -1;
	return outcome.cause == MSB_CAUSE_KILLED ? 0 : fail("kill", "the outcome does not say so");
}

static int command_kill(char **words)
{
	struct program p = { 0, 0, -1, -1 };
	struct death d;
	msb_handle made;

	if (create(words[0], words[1], NULL, 0, &made) != 0)
		return -1;
	int failed = start_library(&p, made, words + 2, 0) != 0 || first_byte(&p) != 0 || killed(made, &d) != 0;

	if (p.out >= 0)
		close(p.out);
	msb_close(p.handle);
	msb_close(made);
	if (failed)
		return -1;
	printf("ok %" PRId64 " %" PRId64 " %" PRId64 " %d\n", d.waited, d.done, d.nothing, d.left);
	return 0;
}

static int command_cycle(char **words)
{
	int64_t start = now_ns();
	msb_handle made;

	if (create(words[0], words[1], NULL, 0, &made) != 0 || close_sandbox(made) != 0)
		return -1;
	/* The lower half of a handle's bits is its slot, and free slots are used again. */
	printf("ok %" PRId64 " %" PRIu64 "\n", now_ns() - start, made & 0xffffff);
	return 0;
}

static int command_look(void)
{
	struct look seen;

	if (look(state_dir, &seen) != 0)
		return -1;
	printf("ok %d %d %d %d %" PRId64 "\n", seen.threads, seen.descriptors, seen.children, seen.files, seen.resident);
	return 0;
}

static int command_audit(void)
{
	static char text[1 << 20];
	msb_error err = MSB_ERROR_INIT;
	uint32_t orphans;

	if (msb_audit(state_dir, text, sizeof text, NULL, &orphans, &err) != MSB_OK)
		return fail("audit", err.message);
	printf("ok %" PRIu32 "\n", orphans);
	return 0;
}

static int command_own(char **words)
{
	msb_process_options options = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle made, process;

	if (create(words[0], words[1], NULL, 0, &made) != 0)
		return -1;
	options.argv = (const char *const *)words + 2;
	options.stdio[1].kind = MSB_STDIO_INHERIT;
	if (msb_process_start(made, &options, &process, &err) != MSB_OK ||
	    msb_wait(process, -1, NULL, &err) != MSB_OK)
		return fail("own", err.message);
	return close_sandbox(made);
}

/* One that lives: of the library a sandbox and perhaps a program in it. */
struct life {
	msb_handle sandbox;
	struct program program;
};

/* What the threads of one command share. */
struct batch {
	pthread_mutex_t lock;
	int next, count, failures; /* under lock */
	char first[sizeof failure];
	int stay, library;
	char **place; /* its words after "library" or "peer" */
};

static struct life kept[MAX_LIVES];
static int kept_count;

static int live_library(const struct batch *b, struct life *l)
{
	char **argv = b->place + 3;
	int64_t first;

	if (create(b->place[1], b->place[2], NULL, strtoll(b->place[0], NULL, 10), &l->sandbox) != 0)
		return -1;
	if (b->stay)
		return *argv == NULL ? 0 : start_library(&l->program, l->sandbox, argv, 0) != 0 ? -1 : first_byte(&l->program);
	int failed = start_library(&l->program, l->sandbox, argv, 0) != 0 || read_text(l->program.out, &first) != 0 ||
		end_library(&l->program) != 0;

	if (l->program.out >= 0)
		close(l->program.out);
	return close_sandbox(l->sandbox) != 0 || failed ? -1 : 0;
}

static int live_peer(const struct batch *b, int number, struct life *l)
{
	char *argv[MAX_WORDS + 1], last[256];
	int64_t first;
	int n = 0;

	for (; b->place[n] != NULL; n++)
		argv[n] = b->place[n];
	snprintf(last, sizeof last, "%s%d", argv[n - 1], number);
	argv[n - 1] = last;
	argv[n] = NULL;
	if (start_peer(&l->program, argv, 0) != 0)
		return -1;
	if (b->stay)
		return first_byte(&l->program);
	int failed = read_text(l->program.out, &first) != 0;

	close(l->program.out);
	return end_peer(&l->program) != 0 || failed ? -1 : 0;
}

static void *work(void *argument)
{
	struct batch *b = argument;

	pthread_mutex_lock(&b->lock);
	while (b->next < b->count) {
		int number = b->next++, failed;
		struct life *l = &kept[number];

		pthread_mutex_unlock(&b->lock);
		*l = (struct life){ 0, { 0, 0, -1, -1 } };
		failed = (b->library ? live_library(b, l) : live_peer(b, number, l)) != 0;
		pthread_mutex_lock(&b->lock);
		if (failed && b->failures++ == 0)
			memcpy(b->first, failure, sizeof failure);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

static int command_batch(char **words, int stay)
{
	struct batch b = { .lock = PTHREAD_MUTEX_INITIALIZER, .count = atoi(words[0]), .stay = stay,
		.library = strcmp(words[2], "library") == 0, .place = words + 3 };
	int threads = atoi(words[1]), started = 0;
	pthread_t ids[MAX_THREADS];
	int64_t start = now_ns();

	if (b.count < 1 || b.count > MAX_LIVES || threads < 1 || threads > MAX_THREADS || kept_count != 0)
		return fail("batch", "too many, too few, or the last ones are still there");
	while (started < threads && pthread_create(&ids[started], NULL, work, &b) == 0)
		started++;
	if (started < threads)
		b.failures++;
	for (int i = 0; i < started; i++)
		pthread_join(ids[i], NULL);
	int64_t took = now_ns() - start;

	if (stay)
		kept_count = b.count;
	if (b.failures > 0)
		fprintf(stderr, "host: %d of %d failed, one with: %s\n", b.failures, b.count, b.first);
	printf("ok %" PRId64 " %d\n", took, b.failures);
	return 0;
}

/* Ends all at once, and waits for each. */
static int command_drop(void)
{
	static struct pollfd done[MAX_LIVES];
	msb_error err = MSB_ERROR_INIT;
	int64_t start = now_ns();
	int late = 0;

	for (int i = 0; i < kept_count; i++) {
		struct life *l = &kept[i];

		done[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
		if (l->sandbox != 0 && msb_fd(l->sandbox, MSB_EVENT_DONE, &done[i].fd, &err) != MSB_OK)
			late++;
		msb_close(l->program.handle);
		msb_close(l->sandbox);
		if (l->program.pid > 0)
			kill(l->program.pid, SIGKILL);
	}
	for (int i = 0; i < kept_count; i++) {
		struct life *l = &kept[i];
		char rest[256];

		if (done[i].fd >= 0) {
			late += poll(&done[i], 1, TIMEOUT_MS) != 1;
			close(done[i].fd);
		}
		if (l->program.pid > 0) {
			waitpid(l->program.pid, NULL, 0);
			/* Its sandbox held the other end. */
			while (read(l->program.out, rest, sizeof rest) > 0)
				;
		}
		if (l->program.out >= 0)
			close(l->program.out);
	}
	kept_count = 0;
	if (late > 0)
		return fail("drop", "some are not gone in time");
	printf("ok %" PRId64 "\n", now_ns() - start);
	return 0;
}

static msb_handle pool;

static int command_fill(char **words)
{
	msb_sandbox_options sandbox = MSB_SANDBOX_OPTIONS_INIT;
	msb_pool_options options = MSB_POOL_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;

	sandbox.msb_path = msb_path;
	sandbox.state_dir = state_dir;
	sandbox.root_kind = strcmp(words[1], "erofs") == 0 ? MSB_ROOT_EROFS : MSB_ROOT_DIR;
	sandbox.root_path = words[2];
	options.sandbox = &sandbox;
	options.pool_size = (uint32_t)atoi(words[0]);
	if (msb_pool_create(&options, &pool, &err) != MSB_OK)
		return fail("fill", err.message);
	printf("ok 0\n");
	return 0;
}

/* Waits until nothing of the pool boots any more, and half a second for its sandboxes to be quiet. */
static int wait_full(void)
{
	msb_pool_info info = MSB_POOL_INFO_INIT;
	msb_error err = MSB_ERROR_INIT;
	int64_t limit = now_ns() + (int64_t)TIMEOUT_MS * 1000000;

	do {
		usleep(5000);
		if (msb_pool_info_get(pool, &info, &err) != MSB_OK)
			return fail("pool", err.message);
		if (now_ns() > limit)
			return fail("pool", "it does not fill itself");
	} while (info.ready < info.pool_size || info.booting > 0);
	usleep(500000);
	return 0;
}

static int command_pooled(char **words)
{
	struct program p = { 0, 0, -1, -1 };
	int64_t start, taken, first, closed;
	msb_error err = MSB_ERROR_INIT;
	msb_handle made;

	if (wait_full() != 0)
		return -1;
	start = now_ns();
	if (msb_pool_take(pool, NULL, &made, &err) != MSB_OK)
		return fail("take", err.message);
	taken = now_ns();
	int failed = start_library(&p, made, words, 0) != 0 || read_text(p.out, &first) != 0 || end_library(&p) != 0;

	if (p.out >= 0)
		close(p.out);
	if (close_sandbox(made) != 0 || failed)
		return -1;
	closed = now_ns();
	printf("ok %" PRId64 " %" PRId64 " %" PRId64 "\n", taken - start, first - start, closed - start);
	return 0;
}

static int command_empty(void)
{
	if (close_sandbox(pool) != 0)
		return -1;
	pool = 0;
	printf("ok 0\n");
	return 0;
}

static int command_metrics(void)
{
	static msb_metrics samples[MAX_LIVES];
	msb_error err = MSB_ERROR_INIT;
	uint32_t count;

	samples[0].size = sizeof samples[0];
	int64_t start = now_ns();

	if (msb_metrics_list(state_dir, samples, MAX_LIVES, &count, &err) != MSB_OK)
		return fail("metrics", err.message);
	printf("ok %" PRId64 " %" PRIu32 "\n", now_ns() - start, count);
	return 0;
}

int lives_command(char **words, int count)
{
	const char *name = words[0];

	if (count >= 4 && strcmp(name, "kill") == 0)
		return command_kill(words + 1);
	if (count == 3 && strcmp(name, "cycle") == 0)
		return command_cycle(words + 1);
	if (count == 1 && strcmp(name, "look") == 0)
		return command_look();
	if (count == 1 && strcmp(name, "audit") == 0)
		return command_audit();
	if (count >= 4 && strcmp(name, "own") == 0)
		return command_own(words + 1);
	if (count >= 7 && strcmp(name, "lives") == 0)
		return command_batch(words + 1, 0);
	if (count >= 5 && strcmp(name, "raise") == 0)
		return command_batch(words + 1, 1);
	if (count == 1 && strcmp(name, "drop") == 0)
		return command_drop();
	if (count == 4 && strcmp(name, "fill") == 0)
		return command_fill(words + 1);
	if (count >= 2 && strcmp(name, "pooled") == 0)
		return command_pooled(words + 1);
	if (count == 1 && strcmp(name, "empty") == 0)
		return command_empty();
	if (count == 1 && strcmp(name, "metrics") == 0)
		return command_metrics();
	return fail(name, "unknown command");
}
