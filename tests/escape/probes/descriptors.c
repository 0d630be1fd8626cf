/* What a program inherits. */
#include "probe.h"

#include <dirent.h>
#include <sys/un.h>

/* descriptors: is any open besides 0 to 2? */
PROBE(descriptors)
{
	DIR *d = opendir("/proc/self/fd");
	if (!d)
		return 2;
	for (struct dirent *e; (e = readdir(d));) {
		int fd = atoi(e->d_name);
		char target[PATH_MAX] = "", path[300];
		snprintf(path, sizeof path, "/proc/self/fd/%s", e->d_name);
		if (e->d_name[0] == '.' || fd <= 2 || fd == dirfd(d))
			continue;
		if (readlink(path, target, sizeof target - 1) < 0)
			return 2;
		return reached("%d is %s", fd, target);
	}
	errno = 0;
	return denied("0 to 2 alone");
}

/* environment TEXT: of this process and of all others. */
PROBE(environment)
{
	extern char **environ;
	const char *text = arg(argc, argv, 1);
	for (char **e = environ; *e; e++)
		if (strstr(*e, text))
			return reached("in the environment");
	DIR *d = opendir("/proc");
	for (struct dirent *e; d && (e = readdir(d));) {
		char path[300];
		snprintf(path, sizeof path, "/proc/%s/environ", e->d_name);
		if (atoi(e->d_name) > 0 && contains(path, text) > 0)
			return reached("in %s", path);
	}
	errno = 0;
	return denied("nowhere");
}

/* pass_out PATH: sends a descriptor over standard input; the other side looks at it. */
PROBE(pass_out)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte = 'x';
	struct iovec data = { &byte, 1 };
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	int fd = open(arg(argc, argv, 1), O_RDONLY);
	if (fd < 0)
		return denied("open");
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof fd);
	return sendmsg((int)number(argc, argv, 2), &m, MSG_NOSIGNAL) < 0 ? denied("sendmsg") : reached("a descriptor was sent");
}

/* pass_in TEXT: receives a descriptor over standard input, and reads the text from it. */
PROBE(pass_in)
{
	char control[CMSG_SPACE(sizeof(int))] = "", buffer[64] = "";
	struct iovec data = { buffer, 1 };
	struct msghdr m = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	int fd;
	if (recvmsg(0, &m, 0) < 0)
		return denied("recvmsg");
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	errno = 0;
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return denied("no descriptor came");
	memcpy(&fd, CMSG_DATA(c), sizeof fd);
	if (pread(fd, buffer, sizeof buffer - 1, 0) < 0)
		return denied("read");
	return strcmp(buffer, arg(argc, argv, 1)) ? denied("other data") : reached("%s", buffer);
}

/* stdio_reopen FD TEXT: opens a given descriptor again, the other way round. */
PROBE(stdio_reopen)
{
	char path[64], buffer[64] = "";
	snprintf(path, sizeof path, "/proc/self/fd/%ld", number(argc, argv, 1));
	if (number(argc, argv, 1) == 0) {
		int fd = open(path, O_RDWR);
		if (fd < 0)
			return denied("open for writing");
		return pwrite(fd, "!", 1, 0) < 0 ? denied("write") : reached("it was written");
	}
	int fd = open(path, O_RDONLY | O_NONBLOCK);
	if (fd < 0)
		return denied("open for reading");
	if (pread(fd, buffer, sizeof buffer - 1, 0) < 0)
		return denied("read");
	errno = 0;
	return strstr(buffer, arg(argc, argv, 2)) ? reached("%s", buffer) : denied("other data");
}

/* stdio_mode FD: changes the mode of what was given, to a set-user-id program that all may run. */
PROBE(stdio_mode)
{
	if (fchmod((int)number(argc, argv, 1), 04777))
		return denied("fchmod");
	return reached("the mode was changed");
}
