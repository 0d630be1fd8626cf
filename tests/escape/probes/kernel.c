/* The host's kernel: its log, its names, its interfaces. */
#include "probe.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/klog.h>
#include <sys/shm.h>
#include <sys/utsname.h>
#include <linux/bpf.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>

/* kernel_log TEXT */
PROBE(kernel_log)
{
	static char buffer[1 << 20];
	int n = klogctl(3, buffer, sizeof buffer); /* read all, change nothing */
	if (n < 0)
		return denied("syslog");
	errno = 0;
	return memmem(buffer, (size_t)n, arg(argc, argv, 1), strlen(argv[1])) ? reached("in the log") : denied("another log");
}

/* kernel_name NAME: is this the name of the host? */
PROBE(kernel_name)
{
	struct utsname u;
	errno = 0;
	if (uname(&u))
		return 2;
	return strcmp(u.nodename, arg(argc, argv, 1)) ? denied("another name") : reached("%s", u.nodename);
}

/* kernel_release RELEASE: is this the kernel of the host? */
PROBE(kernel_release)
{
	struct utsname u;
	errno = 0;
	if (uname(&u))
		return 2;
	return strcmp(u.release, arg(argc, argv, 1)) ? denied("another kernel") : reached("%s", u.release);
}

/* kernel_set_name: gives the host the name that it has. */
PROBE(kernel_set_name)
{
	struct utsname u;
	if (uname(&u))
		return 2;
	return sethostname(u.nodename, strlen(u.nodename)) ? denied("sethostname") : reached("the name was set");
}

/* kernel_module: an empty module is no module, but only privilege is told so. */
PROBE(kernel_module)
{
	syscall(SYS_init_module, "", 0, "");
	return errno == ENOEXEC || errno == EFAULT || errno == EINVAL ? reached("the kernel looked at it") : denied("init_module");
}

/* kernel_sysrq: asks for the list of keys, which the log then has. */
PROBE(kernel_sysrq)
{
	static char buffer[1 << 20];
	int fd = open("/proc/sysrq-trigger", O_WRONLY);
	if (fd < 0)
		return denied("open");
	if (write(fd, "h", 1) < 0)
		return denied("write");
	int n = klogctl(3, buffer, sizeof buffer);
	errno = 0;
	return n > 0 && memmem(buffer, (size_t)n, "sysrq: HELP", 11) ? reached("the kernel answered") : denied("not heard");
}

PROBE(io_uring)
{
	struct { unsigned words[30]; } params;
	memset(&params, 0, sizeof params);
	return syscall(SYS_io_uring_setup, 4, &params) < 0 ? denied("io_uring_setup") : reached("a ring");
}

PROBE(userfaultfd)
{
	return syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY) < 0 ? denied("userfaultfd") : reached("a descriptor");
}

PROBE(bpf)
{
	union bpf_attr attr;
	memset(&attr, 0, sizeof attr);
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = attr.value_size = 4;
	attr.max_entries = 1;
	return syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr) < 0 ? denied("bpf") : reached("a map");
}

PROBE(perf)
{
	struct perf_event_attr attr;
	memset(&attr, 0, sizeof attr);
	attr.size = sizeof attr;
	attr.type = PERF_TYPE_SOFTWARE;
	attr.config = PERF_COUNT_SW_TASK_CLOCK;
	attr.exclude_kernel = attr.exclude_hv = 1;
	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0) < 0 ? denied("perf_event_open") : reached("a counter");
}

/* keyring_add NAME: a key of the user's that forgets itself in two minutes. */
PROBE(keyring_add)
{
	long key = syscall(SYS_add_key, "user", arg(argc, argv, 1), "secret", 6, KEY_SPEC_USER_KEYRING);
	if (key < 0)
		return denied("add_key");
	syscall(SYS_keyctl, KEYCTL_SET_TIMEOUT, key, 120);
	return reached("a key");
}

/* keyring_find NAME */
PROBE(keyring_find)
{
	long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, "user", arg(argc, argv, 1), 0);
	return key < 0 ? denied("keyctl") : reached("the key");
}

/* keyring_drop NAME */
PROBE(keyring_drop)
{
	long key = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_USER_KEYRING, "user", arg(argc, argv, 1), 0);
	if (key < 0 || syscall(SYS_keyctl, KEYCTL_UNLINK, key, KEY_SPEC_USER_KEYRING))
		return denied("keyctl");
	return reached("dropped");
}

/* shm_hold KEY: makes a segment, says so, and removes it at the end of input. */
PROBE(shm_hold)
{
	char c;
	int id = shmget((key_t)number(argc, argv, 1), 4096, IPC_CREAT | IPC_EXCL | 0600);
	if (id < 0)
		return denied("shmget");
	reached("a segment");
	while (read(0, &c, 1) > 0)
		;
	return shmctl(id, IPC_RMID, 0) ? 2 : 0;
}

/* shm_find KEY */
PROBE(shm_find)
{
	return shmget((key_t)number(argc, argv, 1), 0, 0) < 0 ? denied("shmget") : reached("the segment");
}

/* terminal_inject: types a character into the terminal on standard input. */
PROBE(terminal_inject)
{
	char c = '!';
	setsid();
	ioctl(0, TIOCSCTTY, 0);
	return ioctl(0, TIOCSTI, &c) ? denied("ioctl") : reached("it was typed");
}

/* user_namespace: harmless inside, where it is the sentry's own. */
PROBE(user_namespace)
{
	return unshare(CLONE_NEWUSER) ? denied("unshare") : reached("a namespace");
}

/* entry32: system calls by the 32-bit entry, whose numbers filters of 64-bit ones do not know. */
PROBE(entry32)
{
	int status;
	pid_t pid = fork();
	if (pid < 0)
		return 2;
	if (pid == 0) {
		long got = 20; /* getpid */
		__asm__ volatile("int $0x80" : "+a"(got) : : "memory", "r8", "r9", "r10", "r11");
		_exit(got == getpid() ? 0 : 1);
	}
	if (waitpid(pid, &status, 0) != pid)
		return 2;
	errno = 0;
	if (WIFSIGNALED(status))
		return denied("signal %d", WTERMSIG(status));
	return WEXITSTATUS(status) ? denied("no answer") : reached("the kernel answered");
}
