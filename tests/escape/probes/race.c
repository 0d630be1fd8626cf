/* Races on a directory of the host's, lost by whoever looks a path up twice. */
#include "probe.h"

#include <time.h>

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/*
 * race_read PREFIX COUNT TEXT MILLISECONDS: reads PREFIX0/secret, PREFIX1/secret, ... again and again, while somebody
 * swaps the directories.
 */
PROBE(race_read)
{
	char path[PATH_MAX];
	const char *prefix = arg(argc, argv, 1), *text = arg(argc, argv, 3);
	long count = number(argc, argv, 2), reads = 0;
	double end = now() + (double)number(argc, argv, 4) / 1e3;
	for (long i = 0; now() < end; i++) {
		snprintf(path, sizeof path, "%s%ld/secret", prefix, i % count);
		int found = contains(path, text);
		if (found > 0)
			return reached("after %ld reads", reads);
		reads += found == 0;
	}
	errno = 0;
	return denied("in %ld reads", reads);
}

/*
 * race_write PREFIX COUNT NAME MILLISECONDS: creates PREFIX0/NAME, PREFIX1/NAME, ... again and again, while somebody
 * swaps the directories. The test looks where the files are.
 */
PROBE(race_write)
{
	char path[PATH_MAX];
	const char *prefix = arg(argc, argv, 1), *name = arg(argc, argv, 3);
	long count = number(argc, argv, 2), writes = 0;
	double end = now() + (double)number(argc, argv, 4) / 1e3;
	for (long i = 0; now() < end; i++) {
		snprintf(path, sizeof path, "%s%ld/%s", prefix, i % count, name);
		int fd = open(path, O_WRONLY | O_CREAT, 0666);
		if (fd < 0)
			continue;
		writes += write(fd, "x", 1) == 1;
		close(fd);
	}
	errno = 0;
	return writes ? reached("%ld writes", writes) : denied("nothing was written");
}

/* race_parent DIRECTORY PATH TEXT: enters a directory, waits for a byte while it is moved, and reads a path from there. */
PROBE(race_parent)
{
	char c;
	if (chdir(arg(argc, argv, 1)))
		return denied("chdir");
	printf("inside\n");
	if (read(0, &c, 1) < 0)
		return 2;
	int found = contains(arg(argc, argv, 2), arg(argc, argv, 3));
	if (found == 0)
		errno = 0;
	return found > 0 ? reached("%s", argv[2]) : denied("read");
}
