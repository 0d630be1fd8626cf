/*
 * create KEY=VALUE...: creates a sandbox with these options, runs `true` in it,
 * closes it, and prints one line: the result's name, stage, errno and message.
 * nofile=N leaves room for N more descriptors. repeat=N does it N times.
 */
#include <microsandbox.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static msb_error err = MSB_ERROR_INIT;

static msb_result use(msb_handle sandbox)
{
	static const char *const argv[] = {"true", NULL};
	msb_process_options options = MSB_PROCESS_OPTIONS_INIT;
	struct pollfd done = {-1, POLLIN, 0};
	msb_handle process;
	msb_error last = MSB_ERROR_INIT;
	msb_result result;

	options.argv = argv;
	result = msb_process_start(sandbox, &options, &process, &err);
	if (result == MSB_OK)
		result = msb_wait(process, 20000, NULL, &err);
	msb_close(process);
	if (msb_fd(sandbox, MSB_EVENT_DONE, &done.fd, &last) == MSB_OK) {
		msb_close(sandbox);
		if (poll(&done, 1, 20000) != 1)
			exit(3);
		close(done.fd);
	}
	return result;
}

static void leave_descriptors(int more)
{
	struct rlimit limit;
	int highest = dup(0);

	close(highest);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t)(highest + more);
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	msb_sandbox_options options = MSB_SANDBOX_OPTIONS_INIT;
	msb_handle sandbox;
	msb_result result;
	int i, repeat = 1, nofile = -1;

	for (i = 1; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (value == NULL)
			return 2;
		*value++ = '\0';
		if (strcmp(argv[i], "name") == 0)
			options.name = value;
		else if (strcmp(argv[i], "msb_path") == 0)
			options.msb_path = value;
		else if (strcmp(argv[i], "state_dir") == 0)
			options.state_dir = value;
		else if (strcmp(argv[i], "root_path") == 0)
			options.root_path = value;
		else if (strcmp(argv[i], "root_kind") == 0)
			options.root_kind = (uint32_t)atoi(value);
		else if (strcmp(argv[i], "start_timeout_ms") == 0)
			options.start_timeout_ms = atoi(value);
		else if (strcmp(argv[i], "repeat") == 0)
			repeat = atoi(value);
		else if (strcmp(argv[i], "nofile") == 0)
			nofile = atoi(value);
		else
			return 2;
	}
	if (nofile >= 0)
		leave_descriptors(nofile);
	for (i = 0; i < repeat; i++) {
		result = msb_sandbox_create(&options, &sandbox, &err);
		if (result == MSB_OK)
			result = use(sandbox);
		else if (sandbox != 0)
			return 4;
		printf("%s %u %d %s\n", msb_result_name(result), (unsigned)err.stage, (int)err.sys_errno, err.message);
	}
	return 0;
}
