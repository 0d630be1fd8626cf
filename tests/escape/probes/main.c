/* The probes in one program: probes NAME [ARG...]. */
#include "probe.h"

#include <stdarg.h>

static struct probe *all;

void probe_register(struct probe *p)
{
	p->next = all;
	all = p;
}

int reached(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("reached: ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	return 0;
}

int denied(const char *format, ...)
{
	int error = errno;
	va_list args;
	va_start(args, format);
	printf("denied: ");
	vprintf(format, args);
	printf(error ? ": %s\n" : "\n", strerrorname_np(error));
	va_end(args);
	return 1;
}

const char *arg(int argc, char **argv, int n)
{
	if (n >= argc) {
		fprintf(stderr, "%s: argument %d is missing\n", argv[0], n);
		exit(2);
	}
	return argv[n];
}

long number(int argc, char **argv, int n)
{
	char *end;
	long value = strtol(arg(argc, argv, n), &end, 0);
	if (*end) {
		fprintf(stderr, "%s: argument %d is no number\n", argv[0], n);
		exit(2);
	}
	return value;
}

int contains(const char *path, const char *text)
{
	static char buffer[1 << 20];
	size_t used = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	for (;;) {
		ssize_t n = read(fd, buffer + used, sizeof buffer - used);
		if (n < 0) {
			int error = errno;
			close(fd);
			errno = error;
			return -1;
		}
		used += (size_t)n;
		if (memmem(buffer, used, text, strlen(text))) {
			close(fd);
			return 1;
		}
		if (n == 0 || used == sizeof buffer) {
			close(fd);
			return 0;
		}
	}
}

int main(int argc, char **argv)
{
	setvbuf(stdout, 0, _IOLBF, 0);
	for (struct probe *p = all; argc > 1 && p; p = p->next)
		if (!strcmp(p->name, argv[1]))
			return p->run(argc - 1, argv + 1);
	fprintf(stderr, "no such probe\n");
	return 2;
}
