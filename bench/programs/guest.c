/*
 * The program that runs inside: `guest send BYTES` writes the pattern to its
 * standard output, `guest receive BYTES` checks that its standard input is it.
 */
#include "pattern.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	uint64_t bytes = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
	int result;

	if (bytes == 0 || bytes % PATTERN_CHUNK != 0) {
		fprintf(stderr, "usage: guest send|receive BYTES (a multiple of %u)\n", PATTERN_CHUNK);
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
