#include "test.h"

#include <dirent.h>
#include <poll.h>
#include <unistd.h>

#define MAX_TESTS 200

static struct {
	const char *name;
	void (*run)(void);
} tests[MAX_TESTS];
static int test_count;

void test_register(const char *name, void (*run)(void))
{
	if (test_count == MAX_TESTS)
		abort();
	tests[test_count].name = name;
	tests[test_count++].run = run;
}

int main(int argc, char **argv)
{
	int i;

	for (i = 0; i < test_count; i++) {
		if (argc < 2) {
			puts(tests[i].name);
		} else if (strcmp(tests[i].name, argv[1]) == 0) {
			tests[i].run();
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}

void check_int(const char *file, int line, const char *what, long long got, long long want)
{
	if (got != want) {
		fprintf(stderr, "%s:%d: %s is %lld, want %lld\n", file, line, what, got, want);
		exit(1);
	}
}

void check_text(const char *file, int line, const char *what, const char *got, const char *want)
{
	if (strcmp(got, want) != 0) {
		fprintf(stderr, "%s:%d: %s is \"%s\", want \"%s\"\n", file, line, what, got, want);
		exit(1);
	}
}

void check_result(const char *file, int line, const char *what, msb_result got, msb_result want, const msb_error *err)
{
	if (got != want) {
		fprintf(stderr, "%s:%d: %s is %s (%s), want %s\n", file, line, what, msb_result_name(got),
		        err != NULL ? err->message : "", msb_result_name(want));
		exit(1);
	}
	if (err != NULL && (err->code != got || (got == MSB_OK) != (err->message[0] == '\0') ||
	                    strchr(err->message, '\n') != NULL)) {
		fprintf(stderr, "%s:%d: %s: error holds code %d and \"%s\"\n", file, line, what, (int)err->code, err->message);
		exit(1);
	}
}

const char *fake(const char *name)
{
	static char path[4096];
	const char *dir = getenv("FAKES");

	CHECK(dir != NULL);
	snprintf(path, sizeof path, "%s/%s", dir, name);
	return path;
}

msb_handle starting_sandbox(void)
{
	msb_sandbox_options options = MSB_SANDBOX_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle sandbox;

	options.flags = MSB_CREATE_ASYNC;
	options.msb_path = fake("hangs");
	CHECK_OK(msb_sandbox_create(&options, &sandbox, &err), &err);
	return sandbox;
}

msb_handle starting_process(msb_handle sandbox)
{
	static const char *const argv[] = {"true", NULL};
	msb_process_options options = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle process;

	options.flags = MSB_START_ASYNC;
	options.argv = argv;
	CHECK_OK(msb_process_start(sandbox, &options, &process, &err), &err);
	return process;
}

msb_handle running_sandbox(void)
{
	msb_sandbox_options options = MSB_SANDBOX_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle sandbox;

	CHECK_OK(msb_sandbox_create(&options, &sandbox, &err), &err);
	return sandbox;
}

msb_handle start_shell(msb_handle sandbox, const char *script, uint32_t stdout_kind)
{
	msb_process_options options = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	const char *argv[] = {"/bin/sh", "-c", NULL, NULL};
	msb_handle process;

	argv[2] = script;
	options.argv = argv;
	options.stdio[1].kind = stdout_kind;
	options.stdio[2].kind = MSB_STDIO_INHERIT;
	CHECK_OK(msb_process_start(sandbox, &options, &process, &err), &err);
	return process;
}

void expect_exit(msb_handle process, int exit_code)
{
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;

	CHECK_OK(msb_wait(process, 20000, &outcome, &err), &err);
	CHECK_INT(outcome.cause, MSB_CAUSE_EXITED);
	CHECK_INT(outcome.exit_code, exit_code);
}

void close_and_wait(msb_handle sandbox)
{
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd;
	ssize_t n;
	char byte;

	CHECK_OK(msb_fd(sandbox, MSB_EVENT_DONE, &fd, &err), &err);
	CHECK_INT(msb_close(sandbox), MSB_OK);
	do { /* to end of file: then the library's end is closed too */
		wait_readable(fd);
		n = read(fd, &byte, 1);
	} while (n == 1 || (n == -1 && (errno == EAGAIN || errno == EINTR)));
	CHECK_INT(n, 0);
	close(fd);
}

void wait_readable(int fd)
{
	struct pollfd p = {fd, POLLIN, 0};

	int n;

	do
		n = poll(&p, 1, 20000);
	while (n == -1 && errno == EINTR);
	CHECK_INT(n, 1);
}

const char *read_all(int fd)
{
	static char text[65536];
	size_t length = 0;
	ssize_t n;

	while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0 || (n == -1 && errno == EINTR))
		length += n > 0 ? (size_t)n : 0;
	CHECK(n == 0);
	text[length] = '\0';
	return text;
}

static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	CHECK(dir != NULL);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

int count_fds(void)
{
	return count_entries("/proc/self/fd") - 3; /* ".", ".." and the directory itself */
}

int count_threads(void)
{
	return count_entries("/proc/self/task") - 2;
}
