/*
 * Runs one program in a sandbox and exits as it does.
 *
 *     cc hello.c -lmicrosandbox -o hello && ./hello
 */
#include <microsandbox.h>
#include <stdio.h>

int main(void)
{
	const char *argv[] = {"python3", "-c", "print('hello from', __import__('os').uname().sysname)", NULL};
	msb_sandbox_options sandbox_options = MSB_SANDBOX_OPTIONS_INIT;
	msb_process_options options = MSB_PROCESS_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error error = MSB_ERROR_INIT;
	msb_handle sandbox = 0, process = 0;

	options.argv = argv;
	options.stdio[1].kind = options.stdio[2].kind = MSB_STDIO_INHERIT;
	if (msb_sandbox_create(&sandbox_options, &sandbox, &error) != MSB_OK ||
	    msb_process_start(sandbox, &options, &process, &error) != MSB_OK ||
	    msb_wait(process, -1, &outcome, &error) != MSB_OK) {
		fprintf(stderr, "hello: %s\n", error.message);
		outcome.exit_code = 1;
	}
	msb_close(process);
	msb_close(sandbox);
	return outcome.cause == MSB_CAUSE_EXITED ? outcome.exit_code : 1;
}
