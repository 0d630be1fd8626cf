//go:build ignore

/*
 * The only program of ours that runs inside the guest. It has three modes,
 * chosen by argv[0]; the third is for the host, where the sentry executes it by
 * its path in /proc:
 *
 *   init    the guest's pid 1: blocks every signal, lets the kernel reap
 *           orphans, and sleeps for ever.
 *   launch  reads a request from descriptor 3, sets umask and limits, changes
 *           to the working directory, looks the program up in PATH and
 *           executes it in place of itself. On failure it writes {stage,
 *           errno} to descriptor 4, which is close-on-exec: end of file
 *           without data means success. It runs as the program's user.
 *   /...    gVisor's umounter: PATH umount --sync-fd=3 DIR waits for a byte on
 *           descriptor 3 and detaches what is mounted at DIR. End of file
 *           means that the sentry died.
 *
 * Request: uint32 argc, envc, size, umask (0xffffffff = unchanged), limits, 0;
 * then for each limit uint64 resource, soft, hard; then size bytes: the working
 * directory ("" = unchanged), argc arguments and envc environment entries, each
 * NUL-terminated. argc is at least 1.
 *
 * Freestanding: no libc, no relocations, no writable data.
 */
#define FD_REQUEST 3
#define FD_STATUS 4
#define STAGE_EXEC 8 /* MSB_STAGE_EXEC */
#define STAGE_CWD 9  /* MSB_STAGE_CWD */
#define STAGE_RLIMIT 100 /* the limit's index in the upper half */
#define LIMIT_SIZE 24
#define UNCHANGED 0xffffffffu
#define PATH_CAP 4096

#define ENOENT 2
#define EIO 5
#define ENOMEM 12
#define EACCES 13
#define ENOTDIR 20
#define ENAMETOOLONG 36

typedef unsigned int u32;
typedef unsigned long ulong;

#if defined(__x86_64__)
enum { SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_mmap = 9, SYS_rt_sigaction = 13,
       SYS_rt_sigprocmask = 14, SYS_execve = 59, SYS_umount2 = 166, SYS_fcntl = 72, SYS_chdir = 80, SYS_umask = 95,
       SYS_exit_group = 231, SYS_ppoll = 271, SYS_prlimit64 = 302 };

static long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	long r;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return r;
}

__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run\n\thlt\n");
#elif defined(__aarch64__)
enum { SYS_fcntl = 25, SYS_umount2 = 39, SYS_chdir = 49, SYS_close = 57, SYS_read = 63, SYS_write = 64, SYS_ppoll = 73,
       SYS_exit_group = 94, SYS_rt_sigaction = 134, SYS_rt_sigprocmask = 135, SYS_umask = 166,
       SYS_execve = 221, SYS_mmap = 222, SYS_prlimit64 = 261 };

static long sys6(long n, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}

__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl run\n\tbrk #0\n");
#else
#error "the launcher has no system call layer for this processor"
#endif

static long sys3(long n, long a, long b, long c)
{
	return sys6(n, a, b, c, 0, 0, 0);
}

__attribute__((noreturn)) static void leave(int code)
{
	for (;;)
		sys3(SYS_exit_group, code, 0, 0);
}

__attribute__((noreturn)) static void fail(u32 stage, long err)
{
	u32 status[2] = { stage, (u32)err };

	sys3(SYS_write, FD_STATUS, (long)status, sizeof(status));
	leave(127);
}

/* Reads n bytes of the request. A short request is an I/O error. */
static void read_all(char *buf, ulong n)
{
	while (n > 0) {
		long got = sys3(SYS_read, FD_REQUEST, (long)buf, (long)n);

		if (got == -4) /* EINTR */
			continue;
		if (got <= 0)
			fail(STAGE_EXEC, got < 0 ? -got : EIO);
		buf += got;
		n -= (ulong)got;
	}
}

static void *map(ulong n)
{
	/* PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS */
	long p = sys6(SYS_mmap, 0, (long)n, 3, 0x22, -1, 0);

	if (p < 0 && p > -4096)
		fail(STAGE_EXEC, ENOMEM);
	return (void *)p;
}

static const char *find_path(char **env)
{
	for (; *env; env++) {
		const char *s = *env;

		if (s[0] == 'P' && s[1] == 'A' && s[2] == 'T' && s[3] == 'H' && s[4] == '=')
			return s + 5;
	}
	return "/usr/local/bin:/usr/bin:/bin";
}

static int has_slash(const char *s)
{
	for (; *s; s++)
		if (*s == '/')
			return 1;
	return 0;
}

/*
 * execvpe(3): an empty entry of PATH is the working directory; entries where
 * the program is not found are skipped; permission denied is remembered.
 */
static long search_and_exec(char **argv, char **env)
{
	char path[PATH_CAP];
	const char *p = find_path(env);
	long result = ENOENT;

	for (;;) {
		ulong n = 0, i;
		long err;

		while (*p && *p != ':' && n < PATH_CAP - 2)
			path[n++] = *p++;
		if (*p && *p != ':')
			return ENAMETOOLONG;
		if (n > 0 && path[n - 1] != '/')
			path[n++] = '/';
		for (i = 0; argv[0][i] && n < PATH_CAP - 1; i++)
			path[n++] = argv[0][i];
		if (argv[0][i])
			return ENAMETOOLONG;
		path[n] = 0;
		err = -sys3(SYS_execve, (long)path, (long)argv, (long)env);
		if (err == EACCES)
			result = EACCES;
		else if (err != ENOENT && err != ENOTDIR)
			return err;
		if (!*p)
			return result;
		p++;
	}
}

/* list holds {resource, soft, hard} for each limit. */
static void set_limits(const ulong *list, u32 count)
{
	u32 i;

	for (i = 0; i < count; i++, list += 3) {
		long err = sys6(SYS_prlimit64, 0, (long)list[0], (long)&list[1], 0, 0, 0);

		if (err < 0)
			fail(STAGE_RLIMIT | i << 16, -err);
	}
}

__attribute__((noreturn)) static void launch(void)
{
	u32 header[6];
	u32 i, argc, envc, size;
	char *text, **argv, **env;
	ulong *limits = 0;
	long err;

	sys3(SYS_fcntl, FD_STATUS, 2 /* F_SETFD */, 1 /* FD_CLOEXEC */);
	read_all((char *)header, sizeof(header));
	argc = header[0];
	envc = header[1];
	size = header[2];
	text = map((ulong)size + 1);
	argv = map(((ulong)argc + 1) * sizeof(char *));
	env = map(((ulong)envc + 1) * sizeof(char *));
	if (header[4] > 0) {
		limits = map((ulong)header[4] * LIMIT_SIZE);
		read_all((char *)limits, (ulong)header[4] * LIMIT_SIZE);
	}
	read_all(text, size);
	sys3(SYS_close, FD_REQUEST, 0, 0);

	if (*text) {
		err = sys3(SYS_chdir, (long)text, 0, 0);
		if (err < 0)
			fail(STAGE_CWD, -err);
	}
	for (i = 0; i < argc + envc; i++) {
		while (*text)
			text++;
		text++;
		if (i < argc)
			argv[i] = text;
		else
			env[i - argc] = text;
	}
	if (header[3] != UNCHANGED)
		sys3(SYS_umask, header[3], 0, 0);
	set_limits(limits, header[4]); /* last: they bind this program too */
	if (!argv[0][0])
		fail(STAGE_EXEC, ENOENT);
	if (has_slash(argv[0]))
		err = -sys3(SYS_execve, (long)argv[0], (long)argv, (long)env);
	else
		err = search_and_exec(argv, env);
	fail(STAGE_EXEC, err);
}

__attribute__((noreturn)) static void init(void)
{
	ulong all = ~0UL;
	struct { ulong handler, flags, restorer, mask; } ignore = { 1 /* SIG_IGN */, 0, 0, 0 };

	sys6(SYS_rt_sigaction, 17 /* SIGCHLD */, (long)&ignore, 0, 8, 0, 0);
	sys6(SYS_rt_sigprocmask, 0 /* SIG_BLOCK */, (long)&all, 0, 8, 0, 0);
	for (;;)
		sys6(SYS_ppoll, 0, 0, 0, 0, 8, 0);
}

__attribute__((noreturn)) static void umount(const char *dir)
{
	char byte;
	long got;

	do
		got = sys3(SYS_read, FD_REQUEST, (long)&byte, 1);
	while (got == -4 /* EINTR */);
	if (got == 1)
		got = sys3(SYS_umount2, (long)dir, 2 /* MNT_DETACH */, 0);
	leave(got < 0);
}

__attribute__((noreturn, used)) void run(long *sp)
{
	char **argv = (char **)(sp + 1);

	if (sp[0] == 4 && argv[0][0] == '/')
		umount(argv[3]);
	if (sp[0] > 0 && argv[0][0] == 'i')
		init();
	launch();
}
