/*
 * keep PROGRAM ARGUMENT... runs a program and ends when it and everything that
 * it started have ended, with its status. Processes that lose their parent come
 * to keep, so none is missed. TERM kills the program's process group; what is
 * then still there after GRACE_SECONDS is named, and keep ends with 3.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define GRACE_SECONDS 30

extern char **environ;

static volatile sig_atomic_t program; /* 0 once it has ended */

static void on_term(int signo)
{
	(void)signo;
	if (program != 0)
		kill(-(pid_t)program, SIGKILL);
}

static void on_alarm(int signo)
{
	static const char text[] = "keep: still there after 30 s, ended by nobody: processes ";
	char pids[4096];
	int children = open("/proc/thread-self/children", O_RDONLY);
	ssize_t n = children < 0 ? 0 : read(children, pids, sizeof pids - 1);

	(void)signo;
	if (n < 0)
		n = 0;
	pids[n++] = '\n';
	if (write(STDERR_FILENO, text, sizeof text - 1) < 0 || write(STDERR_FILENO, pids, (size_t)n) < 0)
		_exit(4);
	_exit(3);
}

int main(int argc, char **argv)
{
	posix_spawnattr_t attributes;
	sigset_t term, none;
	int status, result = 1;
	pid_t pid;

	if (argc < 2) {
		fprintf(stderr, "usage: keep PROGRAM ARGUMENT...\n");
		return 2;
	}
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
		perror("keep: subreaper");
		return 1;
	}
	sigemptyset(&none);
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL); /* until there is a program to kill */
	signal(SIGTERM, on_term);
	signal(SIGALRM, on_alarm);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
	errno = posix_spawn(&pid, argv[1], NULL, &attributes, argv + 1, environ);
	if (errno != 0) {
		fprintf(stderr, "keep: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	program = pid;
	sigprocmask(SIG_UNBLOCK, &term, NULL);
	/* Our ends of the pipes would keep the driver from seeing the program's close. */
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	for (;;) {
		/* The group's number is kept from reuse by not yet reaping its leader. */
		siginfo_t ended;

		if (waitid(P_ALL, 0, &ended, WEXITED | WNOWAIT) != 0) {
			if (errno == EINTR)
				continue;
			return result; /* ECHILD: nothing is left */
		}
		if (ended.si_pid == pid) {
			sigprocmask(SIG_BLOCK, &term, NULL);
			kill(-pid, SIGKILL); /* others of its group */
			program = 0;
			alarm(GRACE_SECONDS);
		}
		if (waitpid(ended.si_pid, &status, 0) == pid)
			result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}
