/* What /proc tells of this process and of others. */
#ifndef PROCESSES_H
#define PROCESSES_H

#include <stdint.h>
#include <sys/types.h>

#define MAX_PROCESSES 256

/* A process and its descendants, held by pidfds: numbers that are used again
 * confuse nothing. */
struct processes {
	int count;
	int pidfds[MAX_PROCESSES];
};

/* 0, or -1 after fail. */
int processes_below(pid_t root, struct processes *out);

/* How many still run. */
int processes_left(const struct processes *p);

/* Until none does. 0, or -1 after fail. */
int processes_wait(const struct processes *p, int timeout_ms);
void processes_release(struct processes *p);

struct look {
	int threads, descriptors, children, files;
	int64_t resident; /* bytes */
};

/* Counts what this process has, and the files below a directory. */
int look(const char *dir, struct look *out);

#endif
