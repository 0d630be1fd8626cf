/*
 * Loads the library late, when 64 threads of its own are running, and calls it
 * from all of them at once. argv[1] is the library.
 */
#include <dlfcn.h>
#include <microsandbox.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS = 64, DESCRIPTORS = 256 };

static pthread_barrier_t loaded;
static __typeof__(&msb_version) version;
static __typeof__(&msb_sandbox_create) create;
static __typeof__(&msb_sandbox_pid) get_pid;
static __typeof__(&msb_fd) event_fd;
static __typeof__(&msb_close) release;
static msb_handle sandbox;
static int good;

static void *caller(void *unused)
{
	msb_error error = MSB_ERROR_INIT;
	int i, mine = 0;

	(void)unused;
	pthread_barrier_wait(&loaded);
	for (i = 0; i < 1000; i++) {
		int32_t pid = 0;

		mine += version() == MSB_VERSION && get_pid(sandbox, &pid, &error) == MSB_OK && pid > 0 &&
		        get_pid(sandbox + 1, &pid, &error) == MSB_E_HANDLE;
	}
	__atomic_add_fetch(&good, mine, __ATOMIC_RELAXED);
	return NULL;
}

static void *symbol(void *library, const char *name)
{
	void *found = dlsym(library, name);

	if (!found) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	return found;
}

/* files counts open descriptors of files: not those of the kernel's own objects. */
static int files(void)
{
	int fd, found = 0;

	for (fd = 0; fd < DESCRIPTORS; fd++) {
		char link[64], target[64];
		ssize_t length;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		length = readlink(link, target, sizeof(target));
		found += length > 0 && strncmp(target, "anon_inode:", 11) != 0;
	}
	return found;
}

int main(int argc, char **argv)
{
	msb_sandbox_options options = MSB_SANDBOX_OPTIONS_INIT;
	msb_error error = MSB_ERROR_INIT;
	pthread_t threads[THREADS];
	void *library;
	int i, before;

	if (argc != 2)
		return 2;
	before = files();
	pthread_barrier_init(&loaded, NULL, THREADS + 1);
	for (i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, caller, NULL);
	library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	printf("files %d\n", files() - before);
	*(void **)&version = symbol(library, "msb_version");
	*(void **)&create = symbol(library, "msb_sandbox_create");
	*(void **)&get_pid = symbol(library, "msb_sandbox_pid");
	*(void **)&event_fd = symbol(library, "msb_fd");
	*(void **)&release = symbol(library, "msb_close");
	if (create(&options, &sandbox, &error) != MSB_OK) {
		fprintf(stderr, "%s\n", error.message);
		return 1;
	}
	pthread_barrier_wait(&loaded);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	release(sandbox);
	dlclose(library); /* does nothing, and must not hurt */
	printf("good %d\n", good);
	return version() == MSB_VERSION ? 0 : 1;
}
