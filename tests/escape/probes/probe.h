/*
 * A probe tries one thing that a hostile program would try, in a form that does
 * no harm, and says what came of it: one line on standard output, "reached: ..."
 * with status 0 or "denied: ..." with status 1. Status 2 means that it could not
 * try: wrong arguments, no memory.
 */
#ifndef PROBE_H
#define PROBE_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct probe {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the probe's name */
	struct probe *next;
};

void probe_register(struct probe *p);

/* PROBE(name) { ... } defines a probe with argc and argv in scope. */
#define PROBE(id)                                                              \
	static int run_##id(int argc, char **argv);                            \
	static struct probe probe_##id = { #id, run_##id, 0 };                 \
	__attribute__((constructor)) static void register_##id(void)           \
	{                                                                      \
		probe_register(&probe_##id);                                   \
	}                                                                      \
	static int run_##id(__attribute__((unused)) int argc,                  \
	                    __attribute__((unused)) char **argv)

/* The two ends of a probe. denied adds the name of errno when it is not 0. */
int reached(const char *format, ...) __attribute__((format(printf, 1, 2)));
int denied(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* argument n, or the end of the probe with status 2. */
const char *arg(int argc, char **argv, int n);
long number(int argc, char **argv, int n);

/* contains reports whether a file has the given text; -1 with errno when it cannot be read. */
int contains(const char *path, const char *text);

#endif
