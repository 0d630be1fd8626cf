/* Processes of the host, on a victim of the test's own. */
#include "probe.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* process_signal PID: sends SIGURG, which a process ignores. */
PROBE(process_signal)
{
	if (kill((pid_t)number(argc, argv, 1), SIGURG))
		return denied("kill");
	return reached("the signal was sent");
}

/* process_pidfd PID FD TEXT: takes a descriptor out of the process. */
PROBE(process_pidfd)
{
	char buffer[64] = "";
	int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)number(argc, argv, 1), 0);
	if (pidfd < 0)
		return denied("pidfd_open");
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, (int)number(argc, argv, 2), 0);
	if (fd < 0)
		return denied("pidfd_getfd");
	if (pread(fd, buffer, sizeof buffer - 1, 0) <= 0 || strcmp(buffer, arg(argc, argv, 3)))
		return denied("read");
	return reached("%s", buffer);
}

/* process_read PID ADDRESS TEXT: process_vm_readv. */
PROBE(process_read)
{
	char buffer[64] = "";
	struct iovec here = { buffer, sizeof buffer - 1 };
	struct iovec there = { (void *)number(argc, argv, 2), sizeof buffer - 1 };
	if (process_vm_readv((pid_t)number(argc, argv, 1), &here, 1, &there, 1, 0) < 0)
		return denied("process_vm_readv");
	errno = 0;
	return strcmp(buffer, arg(argc, argv, 3)) ? denied("other memory") : reached("%s", buffer);
}

/* process_mem PID ADDRESS TEXT: /proc/PID/mem. */
PROBE(process_mem)
{
	char buffer[64] = "", path[64];
	snprintf(path, sizeof path, "/proc/%ld/mem", number(argc, argv, 1));
	int fd = open(path, O_RDWR);
	if (fd < 0)
		return denied("open");
	if (pread(fd, buffer, sizeof buffer - 1, (off_t)number(argc, argv, 2)) < 0)
		return denied("read");
	errno = 0;
	return strcmp(buffer, arg(argc, argv, 3)) ? denied("other memory") : reached("%s", buffer);
}

/* process_trace PID */
PROBE(process_trace)
{
	pid_t pid = (pid_t)number(argc, argv, 1);
	int status;
	if (ptrace(PTRACE_SEIZE, pid, 0, 0))
		return denied("ptrace");
	ptrace(PTRACE_INTERRUPT, pid, 0, 0);
	waitpid(pid, &status, __WALL);
	ptrace(PTRACE_DETACH, pid, 0, 0);
	return reached("the process was traced");
}

/* process_namespace PID: the network namespace of the process, which only privilege may enter. */
PROBE(process_namespace)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%ld/ns/net", number(argc, argv, 1));
	int fd = open(path, O_RDONLY);
	return fd < 0 ? denied("open") : reached("%s is open", path);
}

/* process_exe PID: makes a program that has just run writable, and writes to it. */
PROBE(process_exe)
{
	char path[64], byte;
	pid_t pid = (pid_t)number(argc, argv, 1);
	snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
	int handle = open(path, O_PATH);
	if (handle < 0)
		return denied("open");
	if (pid != 1 && pid != getpid())
		kill(pid, SIGKILL);
	snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
	for (int i = 0;; i++) {
		int fd = open(path, O_RDWR);
		if (fd >= 0) {
			if (pread(fd, &byte, 1, 0) != 1 || pwrite(fd, &byte, 1, 0) != 1)
				return denied("write");
			return reached("the program was written");
		}
		if (errno != ETXTBSY || i == 1000)
			return denied("open for writing");
		usleep(1000);
	}
}
