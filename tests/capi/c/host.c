/* The host's process is after a full run as it was, and bad habits of hosts do no harm. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* A sandbox, a pipeline, a failing program, a signal, and the end of it all. */
static void full_run(void)
{
	static const char *const absent[] = {"/absent", NULL};
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_handle s = running_sandbox(), p;
	msb_error err = MSB_ERROR_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_os_fd fd;

	p = start_shell(s, "echo a | cat; exit 7", MSB_STDIO_PIPE);
	CHECK_OK(msb_process_stdio(p, 1, &fd, &err), &err);
	CHECK_TEXT(read_all(fd), "a\n");
	close(fd);
	expect_exit(p, 7);
	CHECK_INT(msb_close(p), MSB_OK);
	po.argv = absent;
	CHECK_RESULT(msb_process_start(s, &po, &p, &err), MSB_E_EXEC, &err);
	p = start_shell(s, "exec sleep 1000", MSB_STDIO_INHERIT);
	CHECK_OK(msb_kill(p, 9, &err), &err);
	CHECK_OK(msb_wait(p, 20000, &outcome, &err), &err);
	CHECK_INT(outcome.cause, MSB_CAUSE_SIGNALED);
	CHECK_INT(outcome.signal, 9);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

struct host_state {
	struct sigaction actions[65];
	sigset_t mask;
	struct rlimit limits[RLIM_NLIMITS];
	char cwd[4096];
	mode_t umask;
	char **environ;
	char *variables[256];
	int fd_flags[64], status_flags[64];
	int priority;
	struct itimerval timer;
};

static void record(struct host_state *s)
{
	int i;

	memset(s, 0, sizeof *s);
	for (i = 1; i <= 64; i++)
		sigaction(i, NULL, &s->actions[i]);
	pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
	for (i = 0; i < RLIM_NLIMITS; i++)
		getrlimit((__rlimit_resource_t)i, &s->limits[i]);
	CHECK(getcwd(s->cwd, sizeof s->cwd) != NULL);
	s->umask = umask(0);
	umask(s->umask);
	s->environ = environ;
	for (i = 0; environ[i] != NULL && i < 256; i++)
		s->variables[i] = environ[i];
	for (i = 0; i < 64; i++) {
		s->fd_flags[i] = fcntl(i, F_GETFD);
		s->status_flags[i] = fcntl(i, F_GETFL);
	}
	s->priority = getpriority(PRIO_PROCESS, 0);
	getitimer(ITIMER_REAL, &s->timer);
}

static void on_signal(int signo)
{
	(void)signo;
}

REAL(host_is_unchanged)
{
	static struct host_state before, after;
	struct sigaction action = {0};
	struct rlimit limit;
	int given[2], signals[] = {SIGINT, SIGTERM, SIGCHLD, SIGUSR1, SIGUSR2, SIGHUP, SIGWINCH, SIGALRM}, i;
	size_t j;

	action.sa_handler = on_signal;
	for (j = 0; j < sizeof signals / sizeof signals[0]; j++)
		sigaction(signals[j], &action, NULL);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 300;
	setrlimit(RLIMIT_NOFILE, &limit);
	umask(027);
	CHECK_INT(chdir("/usr"), 0);
	CHECK_INT(pipe(given), 0);
	close_and_wait(starting_sandbox()); /* the runtime's own descriptors are open now */
	record(&before);
	full_run();
	record(&after);
	for (i = 1; i <= 64; i++) {
		CHECK(before.actions[i].sa_handler == after.actions[i].sa_handler);
		CHECK_INT(after.actions[i].sa_flags, before.actions[i].sa_flags);
		for (j = 1; j <= 64; j++)
			CHECK_INT(sigismember(&after.actions[i].sa_mask, (int)j) == 1, sigismember(&before.actions[i].sa_mask, (int)j) == 1);
	}
	for (j = 0; j < sizeof signals / sizeof signals[0]; j++)
		CHECK(after.actions[signals[j]].sa_handler == on_signal && (after.actions[signals[j]].sa_flags & SA_ONSTACK) == 0);
#define SAME(field) CHECK(memcmp(&before.field, &after.field, sizeof before.field) == 0)
	SAME(mask);
	SAME(limits);
	SAME(cwd);
	SAME(umask);
	SAME(environ);
	SAME(variables);
	SAME(fd_flags);
	SAME(status_flags);
	SAME(priority);
	SAME(timer);
#undef SAME
}

/* The limit and the mask are right as soon as the library is loaded. */
TEST(limits_at_load)
{
	struct rlimit limit;
	sigset_t mask;
	int i;

	getrlimit(RLIMIT_NOFILE, &limit);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (i = 1; i < 32; i++)
		CHECK_INT(sigismember(&mask, i), 0);
	if (getenv("EXPECT_NOFILE") != NULL)
		CHECK_INT(limit.rlim_cur, atoi(getenv("EXPECT_NOFILE")));
}

/* On every thread of the library the host's signals are blocked: none runs on a small stack. */
TEST(library_threads_block_signals)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGCHLD, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGPIPE};
	msb_handle s = starting_sandbox();
	DIR *dir = opendir("/proc/self/task");
	struct dirent *entry;
	int threads = 0;
	size_t i;

	CHECK(dir != NULL);
	while ((entry = readdir(dir)) != NULL) {
		char path[300], line[256];
		unsigned long long blocked = 0;
		FILE *f;

		if (entry->d_name[0] == '.' || atoi(entry->d_name) == getpid())
			continue;
		snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
		f = fopen(path, "r");
		if (f == NULL)
			continue;
		while (fgets(line, sizeof line, f) != NULL)
			sscanf(line, "SigBlk: %llx", &blocked);
		fclose(f);
		for (i = 0; i < sizeof signals / sizeof signals[0]; i++)
			CHECK((blocked >> (signals[i] - 1) & 1) != 0);
		threads++;
	}
	closedir(dir);
	CHECK(threads > 2);
	close_and_wait(s);
}

/* A storm of signals with a handler that has neither SA_ONSTACK nor SA_RESTART. */
REAL(signal_storm)
{
	struct itimerval every = {{0, 200}, {0, 200}}, off = {{0, 0}, {0, 0}};
	struct sigaction action = {0};

	action.sa_handler = on_signal;
	sigaction(SIGALRM, &action, NULL);
	CHECK_INT(setitimer(ITIMER_REAL, &every, NULL), 0);
	{
		msb_handle s, p;
		msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
		msb_error err = MSB_ERROR_INIT;

		CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
		p = start_shell(s, "seq 1 1000 > /dev/null; exit 7", MSB_STDIO_NULL);
		expect_exit(p, 7);
		CHECK_INT(msb_close(p), MSB_OK);
		CHECK_INT(setitimer(ITIMER_REAL, &off, NULL), 0);
		close_and_wait(s);
	}
}

REAL(host_ignores_sigchld)
{
	signal(SIGCHLD, SIG_IGN);
	full_run();
}

REAL(host_wants_no_children)
{
	struct sigaction action = {0};

	action.sa_handler = on_signal;
	action.sa_flags = SA_NOCLDWAIT;
	sigaction(SIGCHLD, &action, NULL);
	full_run();
}

static atomic_int reaping = 1;

static void *reap_all(void *unused)
{
	while (atomic_load(&reaping)) {
		if (waitpid(-1, NULL, 0) == -1)
			usleep(200);
	}
	return unused;
}

REAL(host_reaps_everything)
{
	pthread_t thread;
	int i;

	CHECK_INT(pthread_create(&thread, NULL, reap_all, NULL), 0);
	for (i = 0; i < 3; i++)
		full_run();
	atomic_store(&reaping, 0);
	pthread_join(thread, NULL);
}

/* The statuses of the host's own children are the host's. */
REAL(own_children_stay_own)
{
	int i, status;

	for (i = 0; i < 20; i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(i);
		if (i == 10)
			full_run();
		CHECK_INT(waitpid(child, &status, 0), child);
		CHECK_INT(WEXITSTATUS(status), i);
	}
	CHECK_INT(waitpid(-1, &status, WNOHANG), -1);
	CHECK_INT(errno, ECHILD);
}

/* With SIGPIPE at its default no end of ours raises it: not the watchdog of a dead
   supervisor, not an event that nobody reads. */
REAL(sigpipe_at_default)
{
	msb_handle s = running_sandbox();
	msb_error err = MSB_ERROR_INIT;
	int32_t pid;
	msb_os_fd fd;

	signal(SIGPIPE, SIG_DFL);
	CHECK_OK(msb_fd(s, MSB_EVENT_DONE, &fd, &err), &err);
	close(fd);
	CHECK_OK(msb_sandbox_pid(s, &pid, &err), &err);
	CHECK_INT(kill(pid, SIGKILL), 0);
	msb_sandbox_stop(s, 0, NULL);
	msb_sandbox_drain(s, 0, NULL);
	msb_sandbox_disarm(s, NULL);
	CHECK_OK(msb_wait(s, 20000, NULL, &err), &err);
	CHECK_INT(msb_close(s), MSB_OK);
	full_run();
}

/* A forked child that holds copies of all descriptors delays nothing. */
REAL(forked_copy_of_the_descriptors)
{
	msb_handle s = running_sandbox();
	int hold[2];
	pid_t child;

	CHECK_INT(pipe(hold), 0);
	child = fork();
	if (child == 0) {
		char byte;

		close(hold[1]);
		_exit(read(hold[0], &byte, 1) == 0 ? 0 : 1); /* until the parent lets go */
	}
	close_and_wait(s); /* fails after 20 s */
	close(hold[1]);
	waitpid(child, NULL, 0);
}

/* Descriptors of ours reach no child of the host but by fork. */
REAL(nothing_is_inherited)
{
	msb_handle s = running_sandbox(), p = start_shell(s, "exec sleep 1000", MSB_STDIO_PIPE);
	char line[512];
	FILE *f = popen("ls -l /proc/self/fd | grep -c -E 'pidfd|socket|memfd|eventpoll|eventfd'", "r");

	CHECK(f != NULL && fgets(line, sizeof line, f) != NULL);
	CHECK_INT(atoi(line), 0);
	pclose(f);
	CHECK_INT(msb_close(p), MSB_OK);
	close_and_wait(s);
}

/* Closed standard descriptors are not taken for something else. */
REAL(standard_descriptors_closed)
{
	int saved = fcntl(2, F_DUPFD_CLOEXEC, 100);

	close(0);
	close(1);
	full_run();
	CHECK(fcntl(2, F_GETFD) != -1 && saved >= 100);
}

static atomic_int on_main, elsewhere;

static void where(int signo)
{
	(void)signo;
	atomic_fetch_add(gettid() == getpid() ? &on_main : &elsewhere, 1);
}

/* The end of a supervisor interrupts no thread of the library. */
TEST(sigchld_reaches_the_host_only)
{
	struct sigaction action = {0};
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s;
	int i;

	action.sa_handler = where;
	sigaction(SIGCHLD, &action, NULL);
	so.msb_path = fake("exits");
	for (i = 0; i < 100; i++)
		CHECK_RESULT(msb_sandbox_create(&so, &s, &err), MSB_E_LAUNCH, &err);
	CHECK(atomic_load(&on_main) > 0);
	CHECK_INT(atomic_load(&elsewhere), 0);
}
