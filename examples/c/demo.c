/*
 * The tour: one sandbox, several programs in it, their output as it comes, a
 * signal, exit statuses, and nothing left at the end.
 */
#include <microsandbox.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static msb_error error = MSB_ERROR_INIT;

/* Ends the program with the library's message when a call failed. */
static void must(msb_result result, const char *what)
{
	if (result != MSB_OK) {
		fprintf(stderr, "demo: %s: %s: %s\n", what, msb_result_name(result), error.message);
		exit(1);
	}
}

/* Starts a program: its output comes through a pipe, its errors where ours go. */
static msb_handle start(msb_handle sandbox, const char *const *argv)
{
	msb_process_options options = MSB_PROCESS_OPTIONS_INIT;
	msb_handle process;

	options.argv = argv;
	options.stdio[1].kind = MSB_STDIO_PIPE;
	options.stdio[2].kind = MSB_STDIO_INHERIT;
	must(msb_process_start(sandbox, &options, &process, &error), argv[0]);
	return process;
}

/* Prints what the program writes, as it writes it, until the end or `most` bytes. */
static void stream(int output, size_t most)
{
	char text[4096];
	ssize_t n;

	while (most > 0 && (n = read(output, text, most < sizeof text ? most : sizeof text)) > 0) {
		fwrite(text, 1, (size_t)n, stdout);
		fflush(stdout);
		most -= (size_t)n;
	}
}

static msb_os_fd output_of(msb_handle process)
{
	msb_os_fd output;

	must(msb_process_stdio(process, 1, &output, &error), "stdout");
	return output;
}

/* Waits for the end, says how it was, and gives the handle back. */
static void finish(msb_handle process)
{
	msb_outcome outcome = MSB_OUTCOME_INIT;

	must(msb_wait(process, -1, &outcome, &error), "wait");
	if (outcome.cause == MSB_CAUSE_SIGNALED)
		printf("  -> ended by signal %d\n", (int)outcome.signal);
	else
		printf("  -> exit status %d after %.0f ms\n", (int)outcome.exit_code, (double)outcome.wall_time_ns / 1e6);
	must(msb_close(process), "close");
}

static void run(msb_handle sandbox, const char *title, const char *const *argv)
{
	msb_handle process;
	msb_os_fd output;

	printf("%s\n", title);
	fflush(stdout);
	process = start(sandbox, argv);
	output = output_of(process);
	stream(output, (size_t)-1);
	close(output);
	finish(process);
}

static void shell(msb_handle sandbox, const char *title, const char *script)
{
	const char *argv[] = {"/bin/sh", "-c", NULL, NULL};

	argv[2] = script;
	run(sandbox, title, argv);
}

/* A program that would run for ever, until a signal reaches it. */
static void signal_one(msb_handle sandbox)
{
	const char *argv[] = {"/bin/sh", "-c", "echo '  waiting for a signal'; exec sleep 1000", NULL};
	msb_handle process;
	msb_os_fd output;

	puts("a signal");
	fflush(stdout);
	process = start(sandbox, argv);
	output = output_of(process);
	stream(output, strlen("  waiting for a signal\n"));
	must(msb_kill(process, 15, &error), "kill");
	close(output);
	finish(process);
}

/* Closes the sandbox and waits until nothing of it is left. */
static void end(msb_handle sandbox)
{
	struct pollfd done = {-1, POLLIN, 0};

	must(msb_fd(sandbox, MSB_EVENT_DONE, &done.fd, &error), "done event");
	must(msb_close(sandbox), "close");
	if (poll(&done, 1, 30000) != 1) {
		fprintf(stderr, "demo: the sandbox is still there after 30 s\n");
		exit(1);
	}
	close(done.fd);
	puts("the sandbox is gone");
}

int main(void)
{
	const char *python[] = {"python3", "-c", NULL, NULL};
	msb_sandbox_options options = MSB_SANDBOX_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_handle sandbox;

	must(msb_sandbox_create(&options, &sandbox, &error), "create");
	must(msb_sandbox_info_get(sandbox, &info, &error), "info");
	printf("a sandbox, supervised by process %d:\n%s\n", (int)info.pid, info.receipt);

	python[2] = "import os, sys\n"
	            "print('  python', sys.version.split()[0], 'as uid', os.getuid(), 'on', os.uname().sysname)\n"
	            "sys.exit(7)";
	run(sandbox, "the host's python", python);
	shell(sandbox, "a pipeline", "seq 1 100000 | grep 7 | wc -l | sed 's/^/  numbers with a 7: /'");
	shell(sandbox, "output as it comes", "for i in 1 2 3; do echo \"  line $i\"; sleep 0.2; done");
	shell(sandbox, "a compiler",
	      "command -v cc > /dev/null || { echo '  none on this host'; exit 0; }\n"
	      "cd \"$(mktemp -d)\" && echo 'int puts(const char *); int main(void) { return puts(\"  compiled inside\") < 0; }' > a.c\n"
	      "cc -o a a.c && ./a");
	shell(sandbox, "no network, and a read-only host",
	      "{ echo nothing > /usr/bin/sh; } 2> /dev/null || echo '  /usr cannot be written'\n"
	      "python3 -c \"import socket; socket.create_connection(('192.0.2.1', 80), 3)\""
	      " 2>&1 | tail -n 1 | sed 's/^/  /'");
	signal_one(sandbox);
	end(sandbox);
	return 0;
}
