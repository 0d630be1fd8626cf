/*
 * Loading a Go runtime changes the process it is loaded into. This file undoes
 * that. The order of events at load is
 *
 *   constructor 101   all signals are blocked, RLIMIT_NOFILE is saved, and Go is
 *                     kept from unblocking SIGCHLD
 *   constructor 102   the fork guard is set up
 *   (Go's own)        the runtime starts; its threads inherit the blocked mask,
 *                     so no host handler ever runs on a small goroutine stack
 *   constructor       waits until Go has put RLIMIT_NOFILE back, finds the
 *                     library's directory, restores the signal mask
 */
#include "host.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

struct rlimit msbc_nofile;
static char library_dir[PATH_MAX];

const char *msbc_library_dir(void)
{
	return library_dir;
}

/* ---- fork guard -------------------------------------------------------- */

static volatile int alive_flag = 1;
volatile int *msbc_alive = &alive_flag;

static void forked_child(void)
{
	*msbc_alive = 0;
}

/*
 * A page that the kernel zeroes in every forked child also catches raw clone
 * and _Fork, where no atfork handler runs. Kernels before 4.14 lack it, and
 * qemu's user emulation claims to have it: the handler is there in any case.
 */
__attribute__((constructor(102))) static void guard_fork(void)
{
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page != MAP_FAILED) {
		if (madvise(page, size, MADV_WIPEONFORK) == 0) {
			*(volatile int *)page = 1;
			msbc_alive = page;
		} else {
			munmap(page, size);
		}
	}
	pthread_atfork(NULL, NULL, forked_child);
}

/* ---- start of the Go runtime ------------------------------------------- */

static sigset_t host_mask;
static pthread_mutex_t ready_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ready_event = PTHREAD_COND_INITIALIZER;
static int ready;

__attribute__((constructor(101))) static void before_runtime(void)
{
	sigset_t all;

	msbc_keep_sigchld_blocked();
	getrlimit(RLIMIT_NOFILE, &msbc_nofile);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &host_mask);
}

void msbc_runtime_ready(void)
{
	pthread_mutex_lock(&ready_lock);
	ready = 1;
	pthread_cond_signal(&ready_event);
	pthread_mutex_unlock(&ready_lock);
}

/* Tells whether this code is in the main program: there Go starts only at main. */
static int in_main_program(const Dl_info *self)
{
	Dl_info program;
	void *entry;
	unsigned long address = getauxval(AT_ENTRY);

	memcpy(&entry, &address, sizeof entry);
	return dladdr(entry, &program) != 0 && program.dli_fbase == self->dli_fbase;
}

/*
 * Without this wait a host could see the raised limit for some milliseconds,
 * or have a new limit of its own overwritten. It is bounded, so that it can
 * never hang a loader.
 */
static void wait_for_runtime(void)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 1;
	pthread_mutex_lock(&ready_lock);
	while (!ready &&
	       pthread_cond_clockwait(&ready_event, &ready_lock, CLOCK_MONOTONIC, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&ready_lock);
}

static void find_library_dir(const Dl_info *self)
{
	char *slash;

	if (realpath(self->dli_fname, library_dir) == NULL) {
		library_dir[0] = '\0';
		return;
	}
	slash = strrchr(library_dir, '/');
	slash[slash == library_dir] = '\0';
}

__attribute__((constructor)) static void after_runtime(void)
{
	Dl_info self;

	if (dladdr(library_dir, &self) != 0) {
		if (!in_main_program(&self))
			wait_for_runtime();
		/* At load, as a relative path means what it meant to the loader. */
		find_library_dir(&self);
	}
	pthread_sigmask(SIG_SETMASK, &host_mask, NULL);
}

/* ---- stack bounds ------------------------------------------------------ */

int __real_pthread_getattr_np(pthread_t thread, pthread_attr_t *attr);
int __wrap_pthread_getattr_np(pthread_t thread, pthread_attr_t *attr);

static __thread struct {
	void *address;
	size_t size;
} own_stack __attribute__((tls_model("initial-exec")));

/*
 * Go asks for the stack bounds whenever it is called on a stack that it does
 * not know, as hosts with fibers do on each call. For the main thread glibc
 * then parses /proc/self/maps, which takes 100 us; the answer never changes.
 */
int __wrap_pthread_getattr_np(pthread_t thread, pthread_attr_t *attr)
{
	int result;

	if (!pthread_equal(thread, pthread_self()))
		return __real_pthread_getattr_np(thread, attr);
	if (own_stack.size != 0) {
		result = pthread_attr_init(attr);
		if (result == 0)
			result = pthread_attr_setstack(attr, own_stack.address, own_stack.size);
		if (result == 0)
			return 0;
	}
	result = __real_pthread_getattr_np(thread, attr);
	if (result == 0 && pthread_attr_getstack(attr, &own_stack.address, &own_stack.size) != 0)
		own_stack.size = 0;
	return result;
}
