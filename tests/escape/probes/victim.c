/*
 * The process that probes aim at. It holds a secret in memory, in its environment
 * and behind a descriptor, says where ("PID ADDRESS FD"), and ends at the end of
 * its input.
 */
#include "probe.h"

#include <sys/mman.h>
#include <sys/prctl.h>

static char secret[64];

PROBE(victim)
{
	char c;
	int fd = memfd_create("victim", 0);
	snprintf(secret, sizeof secret, "%s", arg(argc, argv, 1));
	if (fd < 0 || write(fd, secret, strlen(secret)) < 0)
		return 2;
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
	printf("%d %p %d\n", (int)getpid(), (void *)secret, fd);
	while (read(0, &c, 1) > 0)
		;
	return 0;
}
