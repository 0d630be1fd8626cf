/* Bad arguments: each is an error with a message, none is a crash. */
#include "test.h"

#include <stddef.h>
#include <unistd.h>

#define FORGED ((msb_handle)1 << 48 | (msb_handle)1 << 24 | 77)

TEST(version_and_names)
{
	CHECK_INT(msb_version(), MSB_VERSION);
	CHECK_TEXT(msb_result_name(MSB_OK), "MSB_OK");
	CHECK_TEXT(msb_result_name(MSB_E_BUFFER), "MSB_E_BUFFER");
	CHECK_TEXT(msb_result_name(MSB_E_INTERNAL), "MSB_E_INTERNAL");
	CHECK_TEXT(msb_result_name(1), "MSB_E_?");
	CHECK_TEXT(msb_result_name(-98), "MSB_E_?");
}

TEST(null_out)
{
	msb_handle s = starting_sandbox(), p = starting_process(s);
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	uint32_t count = 9;

	CHECK_RESULT(msb_sandbox_create(&so, NULL, &err), MSB_E_INVALID, &err);
	CHECK_INT(err.stage, MSB_STAGE_ARGUMENT);
	CHECK_RESULT(msb_probe(&so, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_sandbox_open("x", NULL, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_sandbox_start(&so, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_audit(NULL, NULL, 1, &count, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_sandbox_list(NULL, NULL, 0, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_sandbox_list(NULL, NULL, 1, &count, &err), MSB_E_INVALID, &err);
	CHECK_INT(count, 0);
	CHECK_RESULT(msb_sandbox_pid(s, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_sandbox_name(s, NULL, 1, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_sandbox_info_get(s, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_process_start(s, &po, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_process_stdio(p, 0, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_try_wait(s, NULL, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_fd(s, MSB_EVENT_DONE, NULL, &err), MSB_E_INVALID, &err);
	close_and_wait(s);
	CHECK_INT(msb_close(p), MSB_OK);
}

TEST(null_options)
{
	msb_sandbox_options unnamed = MSB_SANDBOX_OPTIONS_INIT;
	msb_handle s = starting_sandbox(), out = 9;
	msb_error err = MSB_ERROR_INIT;

	CHECK_RESULT(msb_sandbox_create(NULL, &out, &err), MSB_E_INVALID, &err);
	CHECK_INT(out, 0);
	out = 9;
	CHECK_RESULT(msb_sandbox_start(NULL, &out, &err), MSB_E_INVALID, &err);
	CHECK_INT(out, 0);
	CHECK_RESULT(msb_sandbox_start(&unnamed, &out, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_sandbox_remove(NULL, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_sandbox_open(NULL, NULL, &out, &err), MSB_E_INVALID, &err);
	CHECK_INT(out, 0);
	out = 9;
	CHECK_RESULT(msb_process_start(s, NULL, &out, &err), MSB_E_INVALID, &err);
	CHECK_INT(out, 0);
	close_and_wait(s);
}

/* Everything that may be NULL, with everything else valid. */
TEST(null_error_and_optional)
{
	msb_handle s = starting_sandbox(), p = starting_process(s), out = 0;
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	int32_t done = 9, pid;
	uint32_t count = 0;
	msb_os_fd fd;
	char name[200];

	so.name = "";
	CHECK_INT(msb_sandbox_create(&so, &out, NULL), MSB_E_INVALID);
	CHECK_INT(msb_sandbox_open("absent", NULL, &out, NULL), MSB_E_NOT_FOUND);
	CHECK_INT(msb_sandbox_list(NULL, NULL, 0, &count, NULL), MSB_OK);
	CHECK_INT(msb_sandbox_remove("absent", NULL, NULL), MSB_E_NOT_FOUND);
	CHECK_INT(msb_audit(NULL, NULL, 0, NULL, NULL, NULL), MSB_E_BUFFER);
	CHECK_INT(msb_sandbox_pid(s, &pid, NULL), MSB_OK);
	CHECK_INT(msb_sandbox_name(s, name, sizeof name, NULL, NULL), MSB_OK);
	CHECK_INT(msb_sandbox_name(s, NULL, 0, NULL, NULL), MSB_E_BUFFER);
	CHECK_INT(msb_wait(p, 0, NULL, NULL), MSB_E_TIMED_OUT);
	CHECK_INT(msb_try_wait(p, &done, NULL, NULL), MSB_OK);
	CHECK_INT(done, 0);
	CHECK_INT(msb_cancel(p, NULL), MSB_OK);
	CHECK_INT(msb_process_stdio(p, 0, &fd, NULL), MSB_E_STATE);
	CHECK_INT(fd, -1);
	CHECK_INT(msb_kill(p, 9, NULL), MSB_E_STATE);
	CHECK_INT(msb_set_log_fd(-1, NULL), MSB_OK);
	CHECK_INT(msb_close(0), MSB_OK);
	close_and_wait(s);
	CHECK_INT(msb_close(p), MSB_OK);
}

/* An error of any size: below 16 untouched, cut text terminated, tail left alone. */
TEST(error_sizes)
{
	union {
		msb_error e;
		unsigned char bytes[600];
	} u;
	uint32_t size;
	size_t i;

	for (size = 0; size <= sizeof u.bytes; size++) {
		memset(u.bytes, 0xaa, sizeof u.bytes);
		u.e.size = size;
		CHECK_INT(msb_close(FORGED), MSB_E_HANDLE);
		CHECK_INT(msb_cancel(FORGED, &u.e), MSB_E_HANDLE);
		CHECK_INT(u.e.size, size);
		for (i = size < 16 ? sizeof size : size; i < sizeof u.bytes; i++)
			CHECK(u.bytes[i] == 0xaa || (i < sizeof u.e && i < size));
		if (size >= 16) {
			CHECK_INT(u.e.code, MSB_E_HANDLE);
			CHECK_INT(u.e.sys_errno, 0);
		}
		if (size > 16) {
			CHECK(memchr(u.e.message, 0, (size < sizeof u.e ? size : sizeof u.e) - 16) != NULL);
		}
	}
}

/* It is written on success too: the error of an earlier call does not stay. */
TEST(error_is_reset)
{
	msb_error err = MSB_ERROR_INIT;

	CHECK_RESULT(msb_cancel(FORGED, &err), MSB_E_HANDLE, &err);
	CHECK_OK(msb_set_log_fd(-1, &err), &err);
	CHECK_INT(err.stage, MSB_STAGE_NONE);
}

TEST(input_sizes)
{
	union {
		msb_sandbox_options o;
		unsigned char bytes[70000];
	} s;
	union {
		msb_process_options o;
		unsigned char bytes[70000];
	} p;
	static const uint32_t bad[] = {0, 1, 7, 9, 12, 20, 65, 68, 65537, 65544, 0xffffffffu};
	static const char *const argv[] = {"true", NULL};
	msb_handle sandbox = starting_sandbox(), out;
	msb_error err = MSB_ERROR_INIT;
	size_t i;

	memset(s.bytes, 0, sizeof s.bytes);
	memset(p.bytes, 0, sizeof p.bytes);
	p.o.argv = argv;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		s.o.size = p.o.size = bad[i];
		CHECK_RESULT(msb_sandbox_create(&s.o, &out, &err), MSB_E_INVALID, &err);
		CHECK_RESULT(msb_process_start(sandbox, &p.o, &out, &err), MSB_E_INVALID, &err);
	}
	p.o.size = 8; /* argv is required */
	CHECK_RESULT(msb_process_start(sandbox, &p.o, &out, &err), MSB_E_INVALID, &err);

	/* An unknown tail must be zero, to its last byte. */
	s.o.flags = MSB_CREATE_ASYNC;
	s.o.msb_path = fake("hangs");
	p.o.flags = MSB_START_ASYNC;
	for (i = sizeof s.o; i < 65536; i = i < 200 ? i + 1 : i * 2 - 1) {
		s.o.size = 65536;
		s.bytes[i] = 1;
		CHECK_RESULT(msb_sandbox_create(&s.o, &out, &err), MSB_E_TOO_NEW, &err);
		CHECK_INT(out, 0);
		s.bytes[i] = 0;
		p.o.size = 65536;
		p.bytes[i + 64] = 1;
		CHECK_RESULT(msb_process_start(sandbox, &p.o, &out, &err),
		             i + 64 < 65536 ? MSB_E_TOO_NEW : MSB_OK, &err);
		p.bytes[i + 64] = 0;
	}
	CHECK_OK(msb_sandbox_create(&s.o, &out, &err), &err);
	close_and_wait(out);
	CHECK_OK(msb_process_start(sandbox, &p.o, &out, &err), &err);
	CHECK_INT(msb_close(out), MSB_OK);

	/* A caller of an older version: later fields count as zero, whatever lies there. */
	memset(s.bytes, 0xff, sizeof s.bytes);
	s.o.flags = MSB_CREATE_ASYNC;
	s.o.name = NULL;
	s.o.msb_path = fake("hangs");
	s.o.size = 24;
	CHECK_OK(msb_sandbox_create(&s.o, &out, &err), &err);
	close_and_wait(out);
	memset(p.bytes, 0xff, sizeof p.bytes);
	p.o.flags = MSB_START_ASYNC;
	p.o.argv = argv;
	p.o.size = 16;
	CHECK_OK(msb_process_start(sandbox, &p.o, &out, &err), &err);
	CHECK_INT(msb_close(out), MSB_OK);
	close_and_wait(sandbox);
}

TEST(output_sizes)
{
	static const uint32_t bad[] = {0, 1, 7, 12, 65544, 0xffffffffu};
	union {
		msb_outcome o;
		unsigned char bytes[64];
	} u;
	msb_sandbox_entry entry;
	msb_sandbox_info info;
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_handle s;
	msb_error err = MSB_ERROR_INIT;
	uint32_t count, size;
	int32_t done;
	size_t i;

	so.flags = MSB_CREATE_ASYNC;
	so.msb_path = fake("exits");
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_RESULT(msb_wait(s, 20000, NULL, &err), MSB_E_LAUNCH, &err);
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		u.o.size = entry.size = info.size = bad[i];
		CHECK_RESULT(msb_wait(s, 0, &u.o, &err), MSB_E_INVALID, &err);
		CHECK_RESULT(msb_try_wait(s, &done, &u.o, &err), MSB_E_INVALID, &err);
		CHECK_RESULT(msb_sandbox_list(NULL, &entry, 1, &count, &err), MSB_E_INVALID, &err);
		CHECK_RESULT(msb_sandbox_info_get(s, &info, &err), MSB_E_INVALID, &err);
		CHECK_RESULT(msb_probe(NULL, &info, &err), MSB_E_INVALID, &err);
	}
	for (size = 8; size <= sizeof u.bytes; size += 8) {
		memset(u.bytes, 0xaa, sizeof u.bytes);
		u.o.size = size;
		CHECK_RESULT(msb_wait(s, 0, &u.o, &err), MSB_E_LAUNCH, &err);
		CHECK_INT(u.o.size, size);
		CHECK_INT(u.o.cause, MSB_CAUSE_START_FAILED);
		for (i = size < sizeof u.o ? size : sizeof u.o; i < sizeof u.bytes; i++)
			CHECK_INT(u.bytes[i], 0xaa);
	}
	CHECK_INT(msb_close(s), MSB_OK);
}

TEST(unknown_flags)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	static const char *const argv[] = {"true", NULL};
	msb_list_options lo = MSB_LIST_OPTIONS_INIT;
	msb_handle s = starting_sandbox(), out;
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd;
	uint32_t bit, count;

	po.argv = argv;
	so.name = "x";
	for (bit = 16; bit != 0; bit <<= 1) {
		so.flags = po.flags = lo.flags = bit;
		CHECK_RESULT(msb_sandbox_create(&so, &out, &err), MSB_E_TOO_NEW, &err);
		CHECK_RESULT(msb_sandbox_start(&so, &out, &err), MSB_E_TOO_NEW, &err);
		CHECK_RESULT(msb_sandbox_list(&lo, NULL, 0, &count, &err), MSB_E_TOO_NEW, &err);
		CHECK_RESULT(msb_process_start(s, &po, &out, &err), MSB_E_TOO_NEW, &err);
		CHECK_RESULT(msb_fd(s, bit, &fd, &err), MSB_E_TOO_NEW, &err);
		CHECK_INT(fd, -1);
	}
	CHECK_RESULT(msb_fd(s, 0, &fd, &err), MSB_E_INVALID, &err);
	close_and_wait(s);
}

TEST(unknown_values)
{
	static const char *const no_value[] = {"x", NULL}, *const not_utf8[] = {"x=\xff", NULL};
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT, zero = MSB_SANDBOX_OPTIONS_INIT;
	msb_handle out;
	msb_error err = MSB_ERROR_INIT;

#define REFUSED(field, value)                                                        \
	do {                                                                         \
		so = zero;                                                           \
		so.field = value;                                                    \
		CHECK_RESULT(msb_sandbox_create(&so, &out, &err), MSB_E_INVALID, &err); \
		CHECK_INT(out, 0);                                                   \
	} while (0)
	REFUSED(engine, 5);
	REFUSED(engine, 0xffffffffu);
	REFUSED(root_kind, 3);
	REFUSED(root_kind, MSB_ROOT_DIR); /* without a path */
	REFUSED(root_path, "/");          /* with MSB_ROOT_HOST */
	REFUSED(root_path, "");
	REFUSED(msb_path, "");
	REFUSED(state_dir, "");
	REFUSED(memory_bytes, 1);
	REFUSED(memory_bytes, UINT64_MAX);
	REFUSED(overlay_bytes, UINT64_MAX);
	REFUSED(start_timeout_ms, -1);
	REFUSED(start_timeout_ms, INT64_MAX);
	REFUSED(start_timeout_ms, INT64_MIN);
	REFUSED(stop_grace_ms, INT64_MAX);
	REFUSED(idle_timeout_ms, -1);
	REFUSED(max_duration_ms, -1);
	REFUSED(labels, no_value);
	REFUSED(labels, not_utf8);
#undef REFUSED
}

TEST(stdio_values)
{
	static const msb_stdio bad[] = {
		{4, 0, 0},
		{0xffffffffu, 0, 0},
		{MSB_STDIO_NULL, 1, 0},
		{MSB_STDIO_PIPE, 0, 1},
		{MSB_STDIO_INHERIT, 0, -1},
		{MSB_STDIO_FD, 0, -1},
		{MSB_STDIO_FD, 0, 99999},
		{MSB_STDIO_FD, 0, (int64_t)1 << 31},
		{MSB_STDIO_FD, 0, (int64_t)1 << 32},
		{MSB_STDIO_FD, 0, INT64_MIN},
	};
	static const char *const argv[] = {"true", NULL};
	msb_process_options zero = MSB_PROCESS_OPTIONS_INIT, po;
	msb_handle s, out;
	msb_error err = MSB_ERROR_INIT;
	int before, which;
	msb_os_fd fd;
	size_t i;

	close_and_wait(starting_sandbox());
	before = count_fds();
	s = starting_sandbox();
	zero.argv = argv;
	zero.flags = MSB_START_ASYNC;
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		for (which = 0; which < 3; which++) {
			po = zero;
			po.stdio[0].kind = po.stdio[1].kind = po.stdio[2].kind = MSB_STDIO_PIPE;
			po.stdio[which] = bad[i];
			CHECK_RESULT(msb_process_start(s, &po, &out, &err), MSB_E_INVALID, &err);
			CHECK_INT(out, 0);
		}
	}
	po = zero;
	po.stdio[1].kind = MSB_STDIO_PIPE;
	CHECK_OK(msb_process_start(s, &po, &out, &err), &err);
	CHECK_RESULT(msb_process_stdio(out, 3, &fd, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_process_stdio(out, 0xffffffffu, &fd, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_process_stdio(out, 0, &fd, &err), MSB_E_STATE, &err);
	CHECK_OK(msb_process_stdio(out, 1, &fd, &err), &err);
	CHECK_INT(close(fd), 0);
	CHECK_RESULT(msb_process_stdio(out, 1, &fd, &err), MSB_E_STATE, &err);
	CHECK_INT(msb_close(out), MSB_OK);
	close_and_wait(s);
	CHECK_INT(count_fds(), before); /* what was refused left no descriptor */
}

static msb_result start(msb_handle s, const char *const *argv, const char *const *env, const char *cwd, msb_error *err)
{
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_handle out = 9;
	msb_result result;

	po.flags = MSB_START_ASYNC;
	po.argv = argv;
	po.env = env;
	po.cwd = cwd;
	result = msb_process_start(s, &po, &out, err);
	CHECK((result == MSB_OK) == (out != 0));
	if (out != 0)
		CHECK_INT(msb_close(out), MSB_OK);
	return result;
}

#define MANY 70000

TEST(strings)
{
	static const char *list[MANY + 1];
	static const char *const none[] = {NULL}, *const empty[] = {"", NULL}, *const ok[] = {"true", NULL};
	static const char *const no_name[] = {"=x", NULL}, *const no_value[] = {"x", NULL};
	msb_handle s = starting_sandbox();
	msb_error err = MSB_ERROR_INIT;
	char *huge = malloc((2u << 20) + 1);
	int i;

	CHECK(huge != NULL);
	CHECK_RESULT(start(s, NULL, NULL, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(start(s, none, NULL, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(start(s, empty, NULL, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(start(s, ok, no_name, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(start(s, ok, no_value, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(start(s, ok, NULL, "", &err), MSB_E_INVALID, &err);
	CHECK_RESULT(start(s, ok, NULL, "relative", &err), MSB_E_INVALID, &err);
	CHECK_OK(start(s, ok, none, "/", &err), &err);

	memset(huge, 'x', 2u << 20);
	huge[2u << 20] = '\0';
	list[0] = "true";
	list[1] = huge;
	CHECK_RESULT(start(s, list, NULL, NULL, &err), MSB_E_LIMIT, &err);
	huge[1] = '=';
	CHECK_RESULT(start(s, ok, list + 1, NULL, &err), MSB_E_LIMIT, &err);
	huge[(1u << 20) - 100] = '\0';
	CHECK_OK(start(s, list, NULL, NULL, &err), &err);
	CHECK_RESULT(start(s, list, list + 1, NULL, &err), MSB_E_LIMIT, &err);
	huge[5000] = '\0';
	huge[0] = '/';
	CHECK_RESULT(start(s, ok, NULL, huge, &err), MSB_E_INVALID, &err);

	for (i = 0; i < MANY; i++)
		list[i] = "x";
	CHECK_RESULT(start(s, list, NULL, NULL, &err), MSB_E_LIMIT, &err);
	list[65536] = NULL;
	CHECK_OK(start(s, list, NULL, NULL, &err), &err);
	free(huge);
	close_and_wait(s);
}

TEST(names)
{
	char name[200];
	static const char *const bad[] = {"", ".", "..", "/", "a/b", "../x", "a\nb", "\x01", "\x7f", "\xff", "a\xc3", "\xed\xa0\x80"};
	static const char *const good[] = {"a", "...", "a b", "-x", "\xc3\xa9", "\xe2\x82\xac", "con:", "%2f", "~"};
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s;
	char buffer[200];
	uint32_t length;
	size_t i;

	so.flags = MSB_CREATE_ASYNC;
	so.msb_path = fake("hangs");
	for (i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		so.name = bad[i];
		CHECK_RESULT(msb_sandbox_create(&so, &s, &err), MSB_E_INVALID, &err);
		CHECK_RESULT(msb_sandbox_start(&so, &s, &err), MSB_E_INVALID, &err);
		CHECK_RESULT(msb_sandbox_open(bad[i], NULL, &s, &err), MSB_E_INVALID, &err);
		CHECK_RESULT(msb_sandbox_remove(bad[i], NULL, &err), MSB_E_INVALID, &err);
	}
	memset(name, 'n', sizeof name);
	name[129] = '\0';
	so.name = name;
	CHECK_RESULT(msb_sandbox_create(&so, &s, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_sandbox_open(name, NULL, &s, &err), MSB_E_INVALID, &err);
	name[128] = '\0';
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_RESULT(msb_sandbox_name(s, buffer, 128, &length, &err), MSB_E_BUFFER, &err);
	CHECK_INT(length, 128);
	CHECK_OK(msb_sandbox_name(s, buffer, 129, &length, &err), &err);
	CHECK_TEXT(buffer, name);
	close_and_wait(s);
	for (i = 0; i < sizeof good / sizeof good[0]; i++) {
		so.name = good[i];
		CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
		CHECK_OK(msb_sandbox_name(s, buffer, sizeof buffer, &length, &err), &err);
		CHECK_TEXT(buffer, good[i]);
		CHECK_INT(length, strlen(good[i]));
		close_and_wait(s);
	}
	so.name = NULL;
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_OK(msb_sandbox_name(s, buffer, sizeof buffer, &length, &err), &err);
	CHECK(length == 16 && strncmp(buffer, "msb-", 4) == 0);
	close_and_wait(s);
}

TEST(paths_too_long)
{
	static char path[70000];
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_list_options lo = MSB_LIST_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s;
	uint32_t count;

	memset(path, 'p', sizeof path - 1);
	path[0] = '/';
	so.msb_path = path;
	CHECK_RESULT(msb_sandbox_create(&so, &s, &err), MSB_E_INVALID, &err);
	so.msb_path = NULL;
	so.state_dir = path;
	CHECK_RESULT(msb_sandbox_create(&so, &s, &err), MSB_E_INVALID, &err);
	so.state_dir = NULL;
	so.root_kind = MSB_ROOT_DIR;
	so.root_path = path;
	CHECK_RESULT(msb_sandbox_create(&so, &s, &err), MSB_E_INVALID, &err);
	lo.state_dir = path;
	CHECK_RESULT(msb_sandbox_list(&lo, NULL, 0, &count, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_sandbox_open("x", path, &s, &err), MSB_E_INVALID, &err);
	setenv("MSB_HOME", path, 1); /* the environment is read at each call */
	CHECK_RESULT(msb_sandbox_list(NULL, NULL, 0, &count, &err), MSB_E_INVALID, &err);
	unsetenv("MSB_HOME");
	setenv("XDG_RUNTIME_DIR", getenv("FAKES"), 1);
	CHECK_OK(msb_sandbox_list(NULL, NULL, 0, &count, &err), &err);
}

TEST(log_descriptor)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle s;
	int ends[2];

	CHECK_RESULT(msb_set_log_fd(-2, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_set_log_fd(99999, &err), MSB_E_IO, &err);
	CHECK_INT(err.sys_errno, EBADF);
	CHECK_INT(pipe(ends), 0);
	CHECK_OK(msb_set_log_fd(ends[1], &err), &err);
	close(ends[1]);
	s = starting_sandbox();
	close_and_wait(s);
	CHECK_OK(msb_set_log_fd(-1, &err), &err);
	CHECK(strlen(read_all(ends[0])) > 10); /* end of file: the duplicate is closed */
	close(ends[0]);
}
