/*
 * The program that uses the library, and that starts the peer: one clock and
 * one code path measure both. Its commands (serve.h):
 *
 *     cold ROOT-KIND ROOT ARGV...    create, start, first byte, end, closed: first, closed
 *     open ROOT-KIND ROOT NAME [SOURCE TARGET]
 *                                    creates the sandbox that run, read and calls
 *                                    use; SOURCE is bound to TARGET, read-only
 *     run SIDE INPUT OUTPUT ARGV...  start to first byte and to outcome: first, ended
 *     read SIDE ARGV...              `guest read`: time, files, bytes
 *     calls COUNT                    COUNT times msb_sandbox_pid
 *     close
 *
 * and those of lives.c. With a command in its arguments it executes that one only.
 *
 * SIDE is "library" (ARGV runs in the open sandbox) or "peer" (ARGV is a host
 * command). INPUT is how many bytes of the pattern to send to the program, 0 =
 * none; OUTPUT how many it must send, 0 = any text, at least one byte.
 */
#define _GNU_SOURCE
#include "host.h"
#include "pattern.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

const char *state_dir;
__thread char failure[1024];
const char *msb_path;
static msb_handle sandbox; /* the open one */

/* mount may be NULL. */
static int create_mounted(const char *kind, const char *root, const char *name, int64_t metrics_ms,
	const msb_mount *mount, msb_handle *out)
{
	msb_sandbox_options options = MSB_SANDBOX_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;

	options.msb_path = msb_path;
	options.state_dir = state_dir;
	options.name = name;
	options.root_kind = strcmp(kind, "erofs") == 0 ? MSB_ROOT_EROFS : MSB_ROOT_DIR;
	options.root_path = root;
	options.metrics_interval_ms = metrics_ms;
	options.mounts = mount;
	options.mounts_count = mount != NULL;
	options.mount_size = mount != NULL ? (uint32_t)sizeof *mount : 0;
	if (msb_sandbox_create(&options, out, &err) != MSB_OK)
		return fail("create", err.message);
	return 0;
}

int create(const char *kind, const char *root, const char *name, int64_t metrics_ms, msb_handle *out)
{
	return create_mounted(kind, root, name, metrics_ms, NULL, out);
}

int close_sandbox(msb_handle closing)
{
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd done;

	if (msb_fd(closing, MSB_EVENT_DONE, &done, &err) != MSB_OK) {
		msb_close(closing);
		return fail("done event", err.message);
	}
	msb_close(closing);
	struct pollfd event = { .fd = done, .events = POLLIN };
	int ready = poll(&event, 1, TIMEOUT_MS);

	close(done);
	return ready == 1 ? 0 : fail("close", "the sandbox is not gone in time");
}

int start_library(struct program *p, msb_handle in, char **argv, int feed)
{
	msb_process_options options = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;

	options.argv = (const char *const *)argv;
	options.stdio[0].kind = feed ? MSB_STDIO_PIPE : MSB_STDIO_NULL;
	options.stdio[1].kind = MSB_STDIO_PIPE;
	if (msb_process_start(in, &options, &p->handle, &err) != MSB_OK)
		return fail("start", err.message);
	if (msb_process_stdio(p->handle, 1, &p->out, &err) != MSB_OK)
		return fail("stdout", err.message);
	if (feed && msb_process_stdio(p->handle, 0, &p->in, &err) != MSB_OK)
		return fail("stdin", err.message);
	return 0;
}

int end_library(struct program *p)
{
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_result result = msb_wait(p->handle, TIMEOUT_MS, &outcome, &err);

	msb_close(p->handle);
	if (result != MSB_OK)
		return fail("wait", err.message);
	if (outcome.cause != MSB_CAUSE_EXITED || outcome.exit_code != 0)
		return fail("program", "did not exit with 0");
	return 0;
}

int start_peer(struct program *p, char **argv, int feed)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attributes;
	sigset_t defaults;
	int in[2] = { -1, -1 }, out[2];

	if (pipe2(out, O_CLOEXEC) != 0 || (feed && pipe2(in, O_CLOEXEC) != 0))
		return fail_errno("pipe");
	posix_spawn_file_actions_init(&files);
	if (feed)
		posix_spawn_file_actions_adddup2(&files, in[0], 0);
	else
		posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&files, out[1], 1);
	posix_spawnattr_init(&attributes);
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	posix_spawnattr_setsigdefault(&attributes, &defaults);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
	errno = posix_spawn(&p->pid, argv[0], &files, &attributes, argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&files);
	close(out[1]);
	if (feed)
		close(in[0]);
	p->in = in[1];
	p->out = out[0];
	return errno == 0 ? 0 : fail_errno(argv[0]);
}

int end_peer(struct program *p)
{
	int status;

	while (waitpid(p->pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail_errno("waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return fail("peer", "did not exit with 0");
	return 0;
}

int read_text(int fd, int64_t *first)
{
	char buffer[4096];
	ssize_t n;

	*first = 0;
	while ((n = read(fd, buffer, sizeof buffer)) != 0) {
		if (n < 0 && errno != EINTR)
			return fail_errno("read");
		if (n > 0 && *first == 0)
			*first = now_ns();
	}
	return *first != 0 ? 0 : fail("read", "the program wrote nothing");
}

/* Sends and receives what the program is to get and to give. */
static int exchange(struct program *p, uint64_t input, uint64_t output, int64_t *first)
{
	int result = 0;

	*first = 0;
	if (input > 0) {
		if (pattern_send(p->in, input) != 0)
			result = fail_errno("bytes lost to the program");
		close(p->in);
	}
	if (result == 0 && output > 0) {
		if (pattern_receive(p->out, output) != 0)
			result = fail_errno("bytes lost from the program");
	} else if (result == 0 && input == 0) {
		result = read_text(p->out, first);
	}
	close(p->out);
	return result;
}

static int command_cold(char **words)
{
	struct program p = { 0, 0, -1, -1 };
	int64_t start = now_ns(), first, closed;
	msb_handle made;

	if (create(words[0], words[1], NULL, 0, &made) != 0)
		return -1;
	int failed = start_library(&p, made, words + 2, 0) != 0 || exchange(&p, 0, 0, &first) != 0 ||
		end_library(&p) != 0;

	if (failed) {
		msb_close(made);
		return -1;
	}
	if (close_sandbox(made) != 0)
		return -1;
	closed = now_ns();
	printf("ok %" PRId64 " %" PRId64 "\n", first - start, closed - start);
	return 0;
}

static int command_run(char **words)
{
	struct program p = { 0, 0, -1, -1 };
	int library = strcmp(words[0], "library") == 0;
	uint64_t input = strtoull(words[1], NULL, 10), output = strtoull(words[2], NULL, 10);
	int64_t start = now_ns(), first, ended;

	if ((library ? start_library(&p, sandbox, words + 3, input > 0)
	             : start_peer(&p, words + 3, input > 0)) != 0)
		return -1;
	if (exchange(&p, input, output, &first) != 0)
		return -1;
	if ((library ? end_library(&p) : end_peer(&p)) != 0)
		return -1;
	ended = now_ns();
	printf("ok %" PRId64 " %" PRId64 "\n", first == 0 ? 0 : first - start, ended - start);
	return 0;
}

/* Reads one line of less than size bytes and nothing after it. */
static int read_line(int fd, char *line, size_t size)
{
	size_t have = 0;

	while (have == 0 || line[have - 1] != '\n') {
		ssize_t n = have < size - 1 ? read(fd, line + have, 1) : 0;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail("read", "the program did not say what it was to say");
		have++;
	}
	line[have] = '\0';
	return 0;
}

/* The time is from our line to the program's: what precedes them is not in it,
 * however late we run on a busy machine. */
static int measure_read(struct program *p, int64_t *took, uint64_t *files, uint64_t *bytes)
{
	char line[64];

	if (read_line(p->out, line, sizeof line) != 0)
		return -1;
	int64_t start = now_ns();

	if (write(p->in, "\n", 1) != 1)
		return fail_errno("write");
	if (read_line(p->out, line, sizeof line) != 0)
		return -1;
	*took = now_ns() - start;
	if (sscanf(line, "%" SCNu64 " %" SCNu64, files, bytes) != 2)
		return fail("read: no counts", line);
	return 0;
}

static int command_read(char **words)
{
	struct program p = { 0, 0, -1, -1 };
	int library = strcmp(words[0], "library") == 0;
	int64_t took;
	uint64_t files, bytes;

	if ((library ? start_library(&p, sandbox, words + 1, 1) : start_peer(&p, words + 1, 1)) != 0)
		return -1;
	int failed = measure_read(&p, &took, &files, &bytes);

	close(p.in);
	close(p.out);
	if (failed != 0 || (library ? end_library(&p) : end_peer(&p)) != 0)
		return -1;
	printf("ok %" PRId64 " %" PRIu64 " %" PRIu64 "\n", took, files, bytes);
	return 0;
}

static int open_sandbox(char **words, int count)
{
	msb_mount bind = { 0 };

	if (count < 5)
		return create(words[0], words[1], words[2], 0, &sandbox);
	bind.kind = MSB_MOUNT_BIND;
	bind.flags = MSB_MOUNT_READONLY;
	bind.source = words[3];
	bind.target = words[4];
	return create_mounted(words[0], words[1], words[2], 0, &bind, &sandbox);
}

static int command_calls(char **words)
{
	uint64_t count = strtoull(words[0], NULL, 10);
	msb_error err = MSB_ERROR_INIT;
	int64_t start = now_ns();
	int32_t pid;

	for (uint64_t i = 0; i < count; i++)
		if (msb_sandbox_pid(sandbox, &pid, &err) != MSB_OK)
			return fail("pid", err.message);
	printf("ok %" PRId64 "\n", now_ns() - start);
	return 0;
}

static int command(char **words, int count)
{
	if (count >= 4 && strcmp(words[0], "cold") == 0)
		return command_cold(words + 1);
	if (count >= 5 && strcmp(words[0], "run") == 0)
		return command_run(words + 1);
	if (count >= 3 && strcmp(words[0], "read") == 0)
		return command_read(words + 1);
	if (count == 2 && strcmp(words[0], "calls") == 0)
		return command_calls(words + 1);
	if ((count == 4 || count == 6) && strcmp(words[0], "open") == 0) {
		if (open_sandbox(words + 1, count - 1) != 0)
			return -1;
	} else if (count == 1 && strcmp(words[0], "close") == 0) {
		if (close_sandbox(sandbox) != 0)
			return -1;
	} else {
		return lives_command(words, count);
	}
	printf("ok\n");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: host STATE-DIRECTORY MSB [COMMAND...]\n");
		return 2;
	}
	state_dir = argv[1];
	msb_path = argv[2];
	signal(SIGPIPE, SIG_IGN); /* a program that dies early is an error here, not our end */
	if (argc == 3)
		return serve(command);
	if (command(argv + 3, argc - 3) != 0) {
		fprintf(stderr, "host: %s\n", failure);
		return 1;
	}
	return 0;
}
