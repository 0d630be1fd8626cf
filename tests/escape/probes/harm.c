/*
 * Programs that take what they can get, up to a bound that the test gives. Each
 * says how far it came: "reached" with the bound, "denied" with the error.
 */
#include "probe.h"

#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

/* harm_processes COUNT: that many living children. */
PROBE(harm_processes)
{
	long count = number(argc, argv, 1), i;
	int error = 0, hold[2];
	if (pipe(hold))
		return 2;
	for (i = 0; i < count; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			error = errno;
			break;
		}
		if (pid == 0) {
			char c;
			close(hold[1]);
			_exit(read(hold[0], &c, 1) != 0); /* until the parent ends */
		}
	}
	errno = error;
	return i < count ? denied("fork after %ld", i) : reached("%ld processes", i);
}

static void *sleeper(void *unused)
{
	pause();
	return unused;
}

/* harm_threads COUNT: that many, each with a small stack. */
PROBE(harm_threads)
{
	long count = number(argc, argv, 1), i;
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (i = 0; i < count; i++) {
		errno = pthread_create(&thread, &attr, sleeper, 0);
		if (errno)
			return denied("pthread_create after %ld", i);
	}
	return reached("%ld threads", i);
}

/* harm_zombies COUNT: that many ended children that nobody waits for. */
PROBE(harm_zombies)
{
	long count = number(argc, argv, 1), i;
	int error = 0;
	for (i = 0; i < count; i++) {
		pid_t pid = fork();
		if (pid < 0) {
			error = errno;
			break;
		}
		if (pid == 0)
			_exit(0);
	}
	errno = error;
	return i < count ? denied("fork after %ld", i) : reached("%ld zombies", i);
}

/* harm_memory MEBIBYTES: touches every page. */
PROBE(harm_memory)
{
	long count = number(argc, argv, 1), i;
	for (i = 0; i < count; i++) {
		char *p = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return denied("mmap after %ld MiB", i);
		for (int at = 0; at < 1 << 20; at += 4096)
			p[at] = 1;
	}
	return reached("%ld MiB", i);
}

/* harm_file PATH MEBIBYTES */
PROBE(harm_file)
{
	static char block[1 << 20];
	long count = number(argc, argv, 2), i;
	int fd = open(arg(argc, argv, 1), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		return denied("open");
	memset(block, 'x', sizeof block);
	for (i = 0; i < count; i++)
		if (write(fd, block, sizeof block) != sizeof block) {
			errno = write(fd, block, 1) < 0 ? errno : ENOSPC;
			return denied("write after %ld MiB", i);
		}
	unlink(argv[1]);
	return reached("%ld MiB", i);
}

/* harm_inodes DIRECTORY COUNT: empty files. */
PROBE(harm_inodes)
{
	char path[PATH_MAX];
	long count = number(argc, argv, 2), i;
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/f%ld", arg(argc, argv, 1), i);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fd < 0)
			return denied("open after %ld", i);
		close(fd);
	}
	for (i = 0; i < count; i++) {
		snprintf(path, sizeof path, "%s/f%ld", argv[1], i);
		unlink(path);
	}
	return reached("%ld files", i);
}

/* harm_descriptors COUNT */
PROBE(harm_descriptors)
{
	long count = number(argc, argv, 1), i;
	for (i = 0; i < count; i++)
		if (open("/dev/null", O_RDONLY) < 0)
			return denied("open after %ld", i);
	return reached("%ld descriptors", i);
}

/* harm_files PROCESSES COUNT PATH: all hold a file open that many times, at once. */
PROBE(harm_files)
{
	long processes = number(argc, argv, 1), count = number(argc, argv, 2), opened = 0, i;
	int told[2], hold[2];
	if (pipe(told) || pipe(hold))
		return 2;
	for (i = 0; i < processes; i++)
		if (fork() == 0) {
			struct rlimit most;
			char c;
			long n = 0;
			getrlimit(RLIMIT_NOFILE, &most);
			most.rlim_cur = most.rlim_max;
			setrlimit(RLIMIT_NOFILE, &most);
			close(hold[1]);
			while (n < count && open(arg(argc, argv, 3), O_RDONLY) >= 0)
				n++;
			if (write(told[1], &n, sizeof n) != sizeof n)
				_exit(2);
			_exit(read(hold[0], &c, 1) != 0);
		}
	close(told[1]);
	for (i = 0; i < processes; i++) {
		long n = 0;
		if (read(told[0], &n, sizeof n) != sizeof n)
			return denied("process %ld", i);
		opened += n;
	}
	return reached("%ld of %ld files", opened, processes * count);
}

/* harm_bomb MILLISECONDS: it and its children fork again and again. Never outside. */
PROBE(harm_bomb)
{
	long refused = 0;
	struct timespec start, t;
	signal(SIGCHLD, SIG_IGN);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (pid_t parent = getpid();;) {
		refused += fork() < 0;
		clock_gettime(CLOCK_MONOTONIC, &t);
		if ((t.tv_sec - start.tv_sec) * 1000 + (t.tv_nsec - start.tv_nsec) / 1000000 > number(argc, argv, 1)) {
			if (getpid() != parent)
				_exit(0);
			return refused ? reached("%ld forks refused", refused) : denied("no fork was refused");
		}
	}
}

/* harm_terminals COUNT */
PROBE(harm_terminals)
{
	long count = number(argc, argv, 1), i;
	for (i = 0; i < count; i++)
		if (posix_openpt(O_RDWR | O_NOCTTY) < 0)
			return denied("open after %ld", i);
	return reached("%ld terminals", i);
}

/* harm_output MEBIBYTES: to standard output, until it takes no more for a second. */
PROBE(harm_output)
{
	static char block[4096];
	long most = number(argc, argv, 1) << 8, i;
	memset(block, 'x', sizeof block);
	fcntl(1, F_SETFL, O_NONBLOCK);
	for (i = 0; i < most; i++) {
		struct pollfd p = { 1, POLLOUT, 0 };
		if (poll(&p, 1, 1000) == 0) {
			fprintf(stderr, "denied: stalled after %ld KiB\n", i * 4);
			return 1;
		}
		if (write(1, block, sizeof block) < 0 && errno != EAGAIN)
			return 2;
	}
	fprintf(stderr, "reached: %ld KiB\n", i * 4);
	return 0;
}

static volatile sig_atomic_t caught;

static void count_signal(int signo)
{
	(void)signo;
	caught++;
}

/* harm_signals PROCESSES MILLISECONDS: all signal each other as fast as they can. */
PROBE(harm_signals)
{
	long count = number(argc, argv, 1);
	struct timespec start, t;
	struct sigaction a = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
	sigaction(SIGUSR1, &a, 0);
	sigaction(SIGRTMIN, &a, 0);
	setpgid(0, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long i = 1; i < count && fork() > 0; i++)
		;
	do {
		kill(0, SIGUSR1);
		kill(0, SIGRTMIN);
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while ((t.tv_sec - start.tv_sec) * 1000 + (t.tv_nsec - start.tv_nsec) / 1000000 < number(argc, argv, 2));
	return caught ? reached("%d signals", (int)caught) : denied("no signal");
}

/* harm_listen: counts the signals of others until the end of its input. */
PROBE(harm_listen)
{
	char c;
	struct sigaction a = { .sa_handler = count_signal, .sa_flags = SA_RESTART };
	sigaction(SIGUSR1, &a, 0);
	printf("ready\n");
	while (read(0, &c, 1) > 0)
		;
	return caught ? reached("%d signals", (int)caught) : denied("no signal");
}

/* harm_window: changes the size of its terminal for a second. */
PROBE(harm_window)
{
	struct winsize size = { 24, 80, 0, 0 };
	struct timespec now, end;
	long count = 0;
	signal(SIGWINCH, SIG_IGN);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec++;
	do {
		size.ws_row = size.ws_row == 24 ? 25 : 24;
		if (ioctl(0, TIOCSWINSZ, &size))
			return denied("ioctl after %ld", count);
		count++;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
	return reached("changes %ld", count);
}
