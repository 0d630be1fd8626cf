/*
 * A test is a function that returns when all is well. Each runs in a process of
 * its own: `suite NAME`; `suite` alone lists the names. The Go side gives each
 * an empty state directory ($MSB_HOME) and the directory of the fake
 * supervisors ($FAKES), and looks afterwards at what is left.
 */
#ifndef TEST_H
#define TEST_H

#include <errno.h>
#include <microsandbox.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void test_register(const char *name, void (*run)(void));

/* TEST(name) is for tests that need no sandbox that runs, REAL for the others. */
#define TEST(name) TEST_WITH_PREFIX("", name)
#define REAL(name) TEST_WITH_PREFIX("real_", name)
#define TEST_WITH_PREFIX(prefix, name)                                    \
	static void name(void);                                           \
	__attribute__((constructor)) static void register_##name(void)    \
	{                                                                 \
		test_register(prefix #name, name);                        \
	}                                                                 \
	static void name(void)

#define CHECK(condition)                                                                            \
	do {                                                                                        \
		if (!(condition)) {                                                                 \
			fprintf(stderr, "%s:%d: not true: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
			exit(1);                                                                    \
		}                                                                                   \
	} while (0)

#define CHECK_INT(got, want) check_int(__FILE__, __LINE__, #got, (long long)(got), (long long)(want))
#define CHECK_TEXT(got, want) check_text(__FILE__, __LINE__, #got, got, want)

/* Both compare a result, and an error with it: its code, and a message exactly when it is one. */
#define CHECK_RESULT(got, want, err) check_result(__FILE__, __LINE__, #got, got, want, err)
#define CHECK_OK(got, err) check_result(__FILE__, __LINE__, #got, got, MSB_OK, err)

void check_int(const char *file, int line, const char *what, long long got, long long want);
void check_text(const char *file, int line, const char *what, const char *got, const char *want);
void check_result(const char *file, int line, const char *what, msb_result got, msb_result want, const msb_error *err);

/* A path below $FAKES; static, the next call overwrites it. */
const char *fake(const char *name);

/* A sandbox that stays in state starting, and a program in it that does too. */
msb_handle starting_sandbox(void);
msb_handle starting_process(msb_handle sandbox);

/* A sandbox that runs. */
msb_handle running_sandbox(void);

/* Starts /bin/sh -c script with the given stdout kind. */
msb_handle start_shell(msb_handle sandbox, const char *script, uint32_t stdout_kind);

/* Waits for the end of a program and checks its exit code. */
void expect_exit(msb_handle process, int exit_code);

/* Closes a sandbox and waits until nothing of it is left. */
void close_and_wait(msb_handle sandbox);

/* Waits until fd is readable, at most 20 s. */
void wait_readable(int fd);

/* Reads to end of file; NUL-terminated, static, at most 64 KiB. */
const char *read_all(int fd);

/* How many descriptors and threads this process has. */
int count_fds(void);
int count_threads(void);

#endif
