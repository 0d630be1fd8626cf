/* What the tests of the DLL share. Each test is a function that returns 0, or prints why
 * it failed and returns 1. */
#ifndef WIN_H
#define WIN_H

#include <microsandbox.h>

#include <stdio.h>
#include <string.h>
#include <windows.h>

extern const char *state_dir; /* of this run; also where a test may leave files */
extern char self_path[1024];  /* of this program, in UTF-8 */

#define CHECK(condition)                                                                        \
	do {                                                                                    \
		if (!(condition)) {                                                             \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                  \
			return 1;                                                               \
		}                                                                               \
	} while (0)

#define OK(call)                                                                                \
	do {                                                                                    \
		msb_result result_ = (call);                                                    \
		if (result_ != MSB_OK) {                                                        \
			printf("%s:%d: %s: %s: %s\n", __FILE__, __LINE__, #call,                \
			       msb_result_name(result_), err.message);                          \
			return 1;                                                               \
		}                                                                               \
	} while (0)

#define FAILS(code_, call)                                                                      \
	do {                                                                                    \
		msb_result result_ = (call);                                                    \
		if (result_ != (code_)) {                                                       \
			printf("%s:%d: %s: %s instead of %s: %s\n", __FILE__, __LINE__, #call,  \
			       msb_result_name(result_), #code_, err.message);                  \
			return 1;                                                               \
		}                                                                               \
	} while (0)

/* How long anything may take, in milliseconds. */
#define LIMIT 30000

/* Options of a sandbox of the engine job in this run's state directory. */
msb_sandbox_options job_options(const char *name);

/* Starts this program in a sandbox in one of its modes, with stdout in a pipe. */
msb_result start_self(msb_handle sandbox, const char *mode, msb_handle *process, HANDLE *out, msb_error *err);

/* Reads a line, without its end, or all when it ends before; returns its length. */
size_t read_line(HANDLE from, char *line, size_t size);

/* Waits until a process has ended; 0 when it has not within LIMIT. */
int gone(DWORD pid);

/* Whether a process runs. */
int runs(DWORD pid);

/* Runs this program in another mode as a process of ours, and reads its first line. */
int start_owner(const char *mode, PROCESS_INFORMATION *info, char *line, size_t size);

/* What a program does in a sandbox. */
int guest(const char *mode);

int test_library(void);
int test_engines(void);
int test_program(void);
int test_stdin(void);
int test_errors(void);
int test_events(void);
int test_overlapped(void);
int test_pools(void);
int test_kill_tree(void);
int test_kill_sandbox(void);
int test_drain(void);
int test_stop(void);
int test_limits(void);
int test_memory(void);
int test_names(void);
int test_stored(void);
int test_logs(void);
int test_metrics(void);
int test_log_handle(void);
int test_inheritance(void);
int test_launch_errors(void);
int test_owner_killed(void);
int test_supervisor_killed(void);
int test_disarmed(void);
int test_detached(void);
int test_threads(void);

/* The owner's side of the tests of its death. */
int owner(const char *mode);

#endif
