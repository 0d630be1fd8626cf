/*
 * The program that runs inside: `guest send BYTES` writes the pattern to its
 * standard output, `guest receive BYTES` checks that its standard input is it,
 * `guest read DIRECTORY` says "ready", waits for a line, reads all files below the
 * directory and says how many files and bytes there were.
 */
#define _GNU_SOURCE
#include "pattern.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_CHUNK (128u << 10) /* as cat has it */

static uint64_t files_read, bytes_read;

static int read_file(int fd)
{
	static char chunk[READ_CHUNK];
	ssize_t n;

	files_read++;
	while ((n = read(fd, chunk, sizeof chunk)) != 0) {
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0)
			bytes_read += (uint64_t)n;
	}
	return 0;
}

/* Takes over directory_fd. 0, or -1 with errno set. */
static int read_tree(int directory_fd)
{
	DIR *directory = fdopendir(directory_fd);
	struct dirent *entry;
	int result = 0;

	if (directory == NULL)
		return -1;
	while (result == 0 && (errno = 0, entry = readdir(directory)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		int fd = openat(directory_fd, entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0) {
			result = -1;
		} else if (entry->d_type == DT_DIR) {
			result = read_tree(fd);
		} else {
			result = read_file(fd);
			close(fd);
		}
	}
	if (errno != 0)
		result = -1;
	int reason = errno;

	closedir(directory);
	errno = reason;
	return result;
}

static int command_read(const char *path)
{
	puts("ready");
	fflush(stdout);
	if (getchar() != '\n') {
		fprintf(stderr, "read: no line came\n");
		return 1;
	}
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || read_tree(fd) != 0) {
		perror(path);
		return 1;
	}
	printf("%" PRIu64 " %" PRIu64 "\n", files_read, bytes_read);
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t bytes = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
	int result;

	if (argc == 3 && strcmp(argv[1], "read") == 0)
		return command_read(argv[2]);
	if (bytes == 0 || bytes % PATTERN_CHUNK != 0) {
		fprintf(stderr, "usage: guest send|receive BYTES (a multiple of %u), guest read DIRECTORY\n", PATTERN_CHUNK);
		return 2;
	}
	if (strcmp(argv[1], "send") == 0)
		result = pattern_send(STDOUT_FILENO, bytes);
	else
		result = pattern_receive(STDIN_FILENO, bytes);
	if (result != 0) {
		perror(argv[1]);
		return 1;
	}
	return 0;
}
