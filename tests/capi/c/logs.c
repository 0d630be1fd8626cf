/* Logs: the stdio kind, and reading them from a descriptor. */
#include "test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

/* Starts sh -c script with stdout and stderr in the log, and waits for its end. */
static void say(msb_handle s, const char *script)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle p;

	po.argv = argv;
	po.stdio[1].kind = MSB_STDIO_LOG;
	po.stdio[2].kind = MSB_STDIO_LOG;
	CHECK_OK(msb_process_start(s, &po, &p, &err), &err);
	expect_exit(p, 0);
	CHECK_INT(msb_close(p), MSB_OK);
}

static int read_whole(int fd, void *out, size_t length)
{
	size_t done = 0;

	while (done < length) {
		ssize_t n = read(fd, (char *)out + done, length - done);

		CHECK(n >= 0);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	CHECK(done == 0 || done == length);
	return done == length;
}

/* The next entry; 0 at the end. The content is NUL-terminated, static. */
static const char *next_entry(int fd, msb_log_frame *frame)
{
	static char content[40000];

	if (!read_whole(fd, frame, sizeof *frame))
		return NULL;
	CHECK(frame->length >= sizeof *frame && frame->length <= 32808);
	if (frame->length > sizeof *frame)
		CHECK(read_whole(fd, content, frame->length - sizeof *frame));
	content[frame->length - sizeof *frame] = '\0';
	CHECK(frame->time_unix_ns > 1700000000000000000);
	CHECK_INT(frame->reserved, 0);
	return content;
}

static int open_log(const char *name, const msb_logs_options *options)
{
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd fd;

	CHECK_OK(msb_logs_open(name, NULL, options, &fd, &err), &err);
	CHECK(fd > 2);
	CHECK_INT(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	CHECK_INT(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	return fd;
}

TEST(logs_arguments)
{
	msb_logs_options o = MSB_LOGS_OPTIONS_INIT;
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	const char *argv[] = {"true", NULL};
	msb_error err = MSB_ERROR_INIT;
	msb_handle s, p;
	msb_os_fd fd = 7;

	CHECK_RESULT(msb_logs_open("none", NULL, NULL, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_logs_open(NULL, NULL, NULL, &fd, &err), MSB_E_INVALID, &err);
	CHECK_INT(fd, -1);
	CHECK_RESULT(msb_logs_open("no/name", NULL, NULL, &fd, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_logs_open("none", NULL, NULL, &fd, &err), MSB_E_NOT_FOUND, &err);
	o.flags = 4;
	CHECK_RESULT(msb_logs_open("none", NULL, &o, &fd, &err), MSB_E_TOO_NEW, &err);
	o.flags = 0;
	o.sources = 1;
	CHECK_RESULT(msb_logs_open("none", NULL, &o, &fd, &err), MSB_E_TOO_NEW, &err);
	o.sources = MSB_LOG_STDOUT;
	o.reserved = 1;
	CHECK_RESULT(msb_logs_open("none", NULL, &o, &fd, &err), MSB_E_INVALID, &err);
	so.log_max_bytes = 65535;
	CHECK_RESULT(msb_sandbox_create(&so, &s, &err), MSB_E_INVALID, &err);

	s = starting_sandbox();
	po.argv = argv;
	po.stdio[0].kind = MSB_STDIO_LOG;
	CHECK_RESULT(msb_process_start(s, &po, &p, &err), MSB_E_INVALID, &err);
	po.stdio[0].kind = MSB_STDIO_NULL;
	po.stdio[1].kind = MSB_STDIO_LOG;
	po.stdio[1].fd = 1;
	CHECK_RESULT(msb_process_start(s, &po, &p, &err), MSB_E_INVALID, &err);
	CHECK_INT(msb_kill(s, 9, &err), MSB_OK);
	close_and_wait(s);
}

REAL(logs)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_logs_options o = MSB_LOGS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_log_frame frame;
	const char *content;
	uint64_t position = 0;
	msb_handle s;
	msb_os_fd gone;
	int fd, follower, quiet, fds, outs = 0, errs = 0, notes = 0, i;

	signal(SIGPIPE, SIG_DFL);
	so.name = "talker";
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	say(s, "printf 'a\\0\\377b'");
	say(s, "echo wrong >&2");
	fd = open_log("talker", NULL);
	while ((content = next_entry(fd, &frame)) != NULL) {
		CHECK_INT(frame.position, position);
		position += frame.length - sizeof frame;
		if (frame.source == MSB_LOG_SOURCE_STDOUT) {
			CHECK_INT(frame.program, 1);
			CHECK_INT(frame.length, sizeof frame + 4);
			CHECK(memcmp(content, "a\0\377b", 4) == 0);
			outs++;
		} else if (frame.source == MSB_LOG_SOURCE_STDERR) {
			CHECK_INT(frame.program, 2);
			CHECK_TEXT(content, "wrong\n");
			errs++;
		} else {
			CHECK_INT(frame.source, MSB_LOG_SOURCE_SUPERVISOR);
			CHECK_INT(frame.program, 0);
			notes++;
		}
	}
	CHECK_INT(outs, 1);
	CHECK_INT(errs, 1);
	CHECK(notes >= 5); /* started, and begin and end of each program */
	close(fd);

	o.sources = MSB_LOG_STDERR;
	fd = open_log("talker", &o);
	CHECK_TEXT(next_entry(fd, &frame), "wrong\n");
	CHECK(next_entry(fd, &frame) == NULL);
	close(fd);

	o.flags = MSB_LOGS_FOLLOW;
	o.sources = MSB_LOG_STDOUT;
	o.tail_lines = -1;
	follower = open_log("talker", &o);
	fds = count_fds();
	for (i = 0; i < 20; i++) { /* followers that are closed while nothing is said, and in the midst of it */
		quiet = open_log("talker", &o);
		close(quiet);
	}
	say(s, "echo 1; echo 2; echo 3; seq 20000 >&2");
	for (i = 0; i < 2000 && count_fds() > fds; i++)
		poll(NULL, 0, 10);
	CHECK(count_fds() <= fds); /* fewer: the first ones were on their way out */
	wait_readable(follower);
	for (content = next_entry(follower, &frame), i = 0; i < 3;) {
		CHECK_INT(frame.source, MSB_LOG_SOURCE_STDOUT);
		CHECK_INT(frame.program, 3);
		for (; *content != '\0'; content++)
			i += *content == '\n';
		if (i < 3)
			content = next_entry(follower, &frame);
	}
	close_and_wait(s);
	CHECK(next_entry(follower, &frame) == NULL); /* the end of the sandbox is that of the log */
	close(follower);
	CHECK_RESULT(msb_logs_open("talker", NULL, NULL, &gone, &err), MSB_E_NOT_FOUND, &err);
}

REAL(logs_stored)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT, bad = MSB_SANDBOX_OPTIONS_INIT;
	msb_logs_options o = MSB_LOGS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_log_frame frame;
	msb_os_fd gone;
	msb_handle s;
	const char *content;
	int fd;

	so.name = "kept";
	so.flags = MSB_CREATE_STORED;
	so.log_max_bytes = 1 << 20;
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	say(s, "echo first");
	close_and_wait(s);
	so.flags = 0;
	so.log_max_bytes = 1 << 21;
	CHECK_RESULT(msb_sandbox_start(&so, &s, &err), MSB_E_INVALID, &err);
	so.log_max_bytes = 0;
	CHECK_OK(msb_sandbox_start(&so, &s, &err), &err);
	say(s, "echo second");
	close_and_wait(s);
	o.sources = MSB_LOG_STDOUT;
	o.flags = MSB_LOGS_FOLLOW; /* ends at once: it does not run */
	fd = open_log("kept", &o);
	CHECK_TEXT(next_entry(fd, &frame), "first\n");
	CHECK_TEXT(next_entry(fd, &frame), "second\n");
	CHECK(next_entry(fd, &frame) == NULL);
	close(fd);
	CHECK_OK(msb_sandbox_remove("kept", NULL, &err), &err);
	CHECK_RESULT(msb_logs_open("kept", NULL, NULL, &gone, &err), MSB_E_NOT_FOUND, &err);

	bad.name = "broken";
	bad.flags = MSB_CREATE_STORED;
	bad.root_kind = MSB_ROOT_DIR;
	bad.root_path = "/nonexistent";
	CHECK(msb_sandbox_create(&bad, &s, &err) != MSB_OK);
	CHECK(strstr(err.message, "/nonexistent") != NULL);
	o.tail_lines = 1;
	o.sources = 0;
	fd = open_log("broken", &o);
	content = next_entry(fd, &frame);
	CHECK(content != NULL && strstr(content, "/nonexistent") != NULL);
	close(fd);
	CHECK_OK(msb_sandbox_remove("broken", NULL, &err), &err);
	CHECK_RESULT(msb_sandbox_remove("broken", NULL, &err), MSB_E_NOT_FOUND, &err);
}

TEST(number_of_a_program_that_is_starting)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle s = starting_sandbox(), p = starting_process(s);
	uint64_t number = 7;

	CHECK_OK(msb_process_number(p, &number, &err), &err);
	CHECK_INT(number, 0);
	CHECK_RESULT(msb_process_number(p, NULL, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_process_number(s, &number, &err), MSB_E_HANDLE, &err);
	close_and_wait(s);
	CHECK_INT(msb_close(p), MSB_OK);
}

/* The number is the log's, of a program that is not logged too, and after the end. */
REAL(program_numbers)
{
	msb_logs_options o = MSB_LOGS_OPTIONS_INIT;
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_log_frame frame;
	msb_handle s, p[3];
	uint64_t number;
	int fd, i;

	so.name = "counter";
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	for (i = 0; i < 3; i++) {
		p[i] = start_shell(s, "echo said", i == 1 ? MSB_STDIO_NULL : MSB_STDIO_LOG);
		CHECK_OK(msb_process_number(p[i], &number, &err), &err);
		CHECK_INT(number, i + 1);
	}
	for (i = 0; i < 3; i++) {
		CHECK_OK(msb_wait(p[i], 60000, NULL, &err), &err);
		CHECK_OK(msb_process_number(p[i], &number, &err), &err);
		CHECK_INT(number, i + 1);
		o.program = number;
		o.sources = MSB_LOG_STDOUT;
		fd = open_log("counter", &o);
		CHECK((next_entry(fd, &frame) == NULL) == (i == 1));
		if (i != 1)
			CHECK_INT(frame.program, number);
		close(fd);
		CHECK_OK(msb_close(p[i]), NULL);
		CHECK_RESULT(msb_process_number(p[i], &number, &err), MSB_E_HANDLE, &err);
		CHECK_INT(number, 0);
	}
	close_and_wait(s);
}
