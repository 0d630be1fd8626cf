/*
 * Serves three tenants from a pool: each gets a sandbox that is booted already.
 *
 *     cc pool.c -lmicrosandbox -o pool && ./pool
 */
#include <microsandbox.h>
#include <stdio.h>

/* Takes a sandbox under the tenant's name and runs a program in it. */
static int serve(msb_handle pool, const char *tenant, msb_error *error)
{
	const char *argv[] = {"sh", "-c", "echo hello, $0", tenant, NULL};
	msb_take_options take = MSB_TAKE_OPTIONS_INIT;
	msb_process_options options = MSB_PROCESS_OPTIONS_INIT;
	msb_handle sandbox = 0, process = 0;
	int served;

	take.name = tenant;
	options.argv = argv;
	options.stdio[1].kind = options.stdio[2].kind = MSB_STDIO_INHERIT;
	served = msb_pool_take(pool, &take, &sandbox, error) == MSB_OK &&
	         msb_process_start(sandbox, &options, &process, error) == MSB_OK &&
	         msb_wait(process, -1, NULL, error) == MSB_OK;
	msb_close(process);
	msb_close(sandbox);
	return served;
}

int main(void)
{
	msb_pool_options options = MSB_POOL_OPTIONS_INIT;
	msb_pool_info info = MSB_POOL_INFO_INIT;
	msb_error error = MSB_ERROR_INIT;
	msb_handle pool = 0;
	int served;

	options.pool_size = 2;
	served = msb_pool_create(&options, &pool, &error) == MSB_OK && serve(pool, "ada", &error) &&
	         serve(pool, "grace", &error) && serve(pool, "edsger", &error) &&
	         msb_pool_info_get(pool, &info, &error) == MSB_OK;
	if (served)
		printf("taken: %d\n", (int)info.taken);
	else
		fprintf(stderr, "pool: %s\n", error.message);
	msb_close(pool);
	return !served;
}
