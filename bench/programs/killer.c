/*
 * Kills programs and times how long anything of them stays. Its command
 * (serve.h):
 *
 *     end ARGV...   starts a host command, waits for the line "ready" on its
 *                   standard output, kills it (SIGKILL): gone, PROCESSES
 *
 * gone is from the signal until no process that the command started, and none
 * that those started, is left, not even as a zombie: whoever loses its parent
 * comes to this program, which reaps until it has no child (ECHILD). What is there
 * after LIMIT_MS is killed, and the time says so. PROCESSES is how many came. What
 * runs in a pid namespace dies before that namespace's first process does, and is not
 * counted.
 */
#define _GNU_SOURCE
#include "serve.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS 60000
#define LIMIT_MS 10000

extern char **environ;

__thread char failure[1024];

static int spawn(char **argv, pid_t *pid, int *out)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t none;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail_errno("pipe");
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, ends[1], 1);
	sigemptyset(&none);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	errno = posix_spawn(pid, argv[0], &files, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	close(ends[1]);
	*out = ends[0];
	return errno == 0 ? 0 : fail_errno(argv[0]);
}

static int wait_ready(int out)
{
	static const char want[] = "ready\n";
	struct pollfd event = { .fd = out, .events = POLLIN };
	char got[sizeof want];
	size_t length = 0;

	while (length < sizeof want - 1) {
		if (poll(&event, 1, TIMEOUT_MS) != 1)
			return fail("ready", "did not come in time");
		ssize_t n = read(out, got + length, sizeof want - 1 - length);

		if (n <= 0)
			return fail("ready", "the program ended before");
		length += (size_t)n;
	}
	return memcmp(got, want, length) == 0 ? 0 : fail("ready", "the program wrote something else");
}

/* Kills the children of this process, which has one thread. */
static void kill_children(void)
{
	char path[64];
	long child;

	snprintf(path, sizeof path, "/proc/self/task/%ld/children", (long)getpid());
	FILE *file = fopen(path, "re");

	if (file == NULL)
		return;
	while (fscanf(file, "%ld", &child) == 1)
		kill((pid_t)child, SIGKILL);
	fclose(file);
}

static sigset_t sigchld; /* what main blocks and reap_all waits for */

/* Reaps until there is no child. */
static int64_t reap_all(int64_t killed)
{
	int64_t processes = 0;

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);

		if (pid > 0)
			processes++;
		else if (pid < 0 && errno == ECHILD)
			return processes;
		else if (now_ns() - killed > LIMIT_MS * INT64_C(1000000))
			kill_children();
		if (pid == 0) {
			struct timespec second = { .tv_sec = 1 };

			sigtimedwait(&sigchld, NULL, &second);
		}
	}
}

static int end(char **argv)
{
	int64_t killed, processes;
	int out, result;
	pid_t pid;

	if (spawn(argv, &pid, &out) != 0)
		return -1;
	result = wait_ready(out);
	killed = now_ns();
	kill(pid, SIGKILL);
	processes = reap_all(killed);
	int64_t gone = now_ns();

	close(out);
	if (result == 0)
		printf("ok %" PRId64 " %" PRId64 "\n", gone - killed, processes);
	return result;
}

static int command(char **words, int count)
{
	if (count >= 2 && strcmp(words[0], "end") == 0)
		return end(words + 1);
	return fail(words[0], "unknown command");
}

int main(void)
{
	sigemptyset(&sigchld);
	sigaddset(&sigchld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &sigchld, NULL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
		perror("killer: subreaper");
		return 1;
	}
	return serve(command);
}
