#define _GNU_SOURCE
#include "processes.h"

#include "serve.h"

#include <dirent.h>
#include <ftw.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The parent of a process, or -1 when it is gone. */
static pid_t parent_of(pid_t pid)
{
	char path[64], text[1024], *after;
	int parent = -1;
	FILE *stat;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	if ((stat = fopen(path, "r")) == NULL)
		return -1;
	text[fread(text, 1, sizeof text - 1, stat)] = '\0';
	fclose(stat);
	/* The name before it, in brackets, may hold anything. */
	if ((after = strrchr(text, ')')) == NULL || sscanf(after + 1, " %*c %d", &parent) != 1)
		return -1;
	return parent;
}

/* Adds the descendants of pids[0] to it; returns how many there are then. */
static int descend(pid_t *pids)
{
	static pid_t all[1 << 16], parents[1 << 16];
	int known = 0, count = 1;
	struct dirent *entry;
	DIR *proc = opendir("/proc");

	if (proc == NULL)
		return -1;
	while ((entry = readdir(proc)) != NULL && known < 1 << 16) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 && (parents[known] = parent_of(pid)) > 0)
			all[known++] = pid;
	}
	closedir(proc);
	for (int at = 0; at < count; at++)
		for (int i = 0; i < known && count < MAX_PROCESSES; i++)
			if (parents[i] == pids[at])
				pids[count++] = all[i];
	return count;
}

int processes_below(pid_t root, struct processes *out)
{
	pid_t pids[MAX_PROCESSES] = { root };
	int count = descend(pids);

	out->count = 0;
	if (count < 0)
		return fail_errno("/proc");
	for (int i = 0; i < count; i++) {
		int fd = (int)syscall(SYS_pidfd_open, pids[i], 0);

		if (fd >= 0)
			out->pidfds[out->count++] = fd;
	}
	return out->count > 1 ? 0 : fail("processes", "the supervisor has none below it");
}

int processes_left(const struct processes *p)
{
	int left = 0;

	for (int i = 0; i < p->count; i++) {
		struct pollfd event = { .fd = p->pidfds[i], .events = POLLIN };

		left += poll(&event, 1, 0) == 0;
	}
	return left;
}

int processes_wait(const struct processes *p, int timeout_ms)
{
	for (int i = 0; i < p->count; i++) {
		struct pollfd event = { .fd = p->pidfds[i], .events = POLLIN };

		if (poll(&event, 1, timeout_ms) != 1)
			return fail("processes", "some are left");
	}
	return 0;
}

void processes_release(struct processes *p)
{
	while (p->count > 0)
		close(p->pidfds[--p->count]);
}

/* Entries of a directory, "." and ".." not counted; -1 when it cannot be read. */
static int entries(const char *path)
{
	DIR *dir = opendir(path);
	int count = -2;

	if (dir == NULL)
		return -1;
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static int files;

static int count_file(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)path;
	(void)st;
	(void)type;
	files += at->level > 0;
	return 0;
}

static int64_t resident(void)
{
	long long pages = -1;
	FILE *statm = fopen("/proc/self/statm", "r");

	if (statm == NULL)
		return -1;
	if (fscanf(statm, "%*d %lld", &pages) != 1)
		pages = -1;
	fclose(statm);
	return pages * sysconf(_SC_PAGESIZE);
}

/* Children of every thread of this process, zombies too. */
static int children(void)
{
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	int count = 0;

	if (proc == NULL)
		return -1;
	while ((entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		count += pid > 0 && parent_of(pid) == getpid();
	}
	closedir(proc);
	return count;
}

int look(const char *dir, struct look *out)
{
	files = 0;
	if (nftw(dir, count_file, 16, FTW_PHYS) != 0)
		return fail_errno(dir);
	out->files = files;
	out->threads = entries("/proc/self/task");
	out->descriptors = entries("/proc/self/fd");
	out->children = children();
	out->resident = resident();
	if (out->threads < 0 || out->descriptors < 0 || out->children < 0 || out->resident < 0)
		return fail_errno("/proc/self");
	return 0;
}
