/*
 * A program that is told what to do: one command a line from standard input, its
 * words separated by tabs; the answer is one line, "ok NUMBER..." (times are
 * nanoseconds) or "error TEXT", after which the program ends with 1.
 */
#ifndef SERVE_H
#define SERVE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_WORDS 64

/* What this thread's last failed step says; defined by the program. */
extern __thread char failure[1024];

static inline int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int fail(const char *what, const char *why)
{
	snprintf(failure, sizeof failure, "%s: %s", what, why);
	return -1;
}

static inline int fail_errno(const char *what)
{
	return fail(what, strerror(errno));
}

/* Runs commands until the end of input or the first that fails. command prints
 * its "ok" line itself, or returns -1 after fail. */
static inline int serve(int (*command)(char **words, int count))
{
	char line[16384], *words[MAX_WORDS + 1];

	while (fgets(line, sizeof line, stdin) != NULL) {
		int count = 0, failed;

		line[strcspn(line, "\n")] = '\0';
		for (char *word = strtok(line, "\t"); word != NULL && count < MAX_WORDS; word = strtok(NULL, "\t"))
			words[count++] = word;
		words[count] = NULL;
		failed = (count == 0 ? fail("command", "empty line") : command(words, count)) != 0;
		if (failed)
			printf("error %s\n", failure);
		fflush(stdout);
		if (failed)
			return 1;
	}
	return 0;
}

#endif
