/*
 * A stream of known content, checked byte by byte: word i is i times an odd
 * number, so no two words of a stream are equal and one that is lost, doubled
 * or moved shows. It costs far less than a hash, which would be measured too.
 */
#ifndef MSB_BENCH_PATTERN_H
#define MSB_BENCH_PATTERN_H

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#define PATTERN_CHUNK 65536u /* bytes in one read or write; streams are a multiple of it */
#define PATTERN_WORDS (PATTERN_CHUNK / sizeof(uint64_t))

static uint64_t pattern_word(uint64_t index)
{
	return index * UINT64_C(0x9E3779B97F4A7C15);
}

/* 0, or -1 with errno set. */
static int pattern_send(int fd, uint64_t bytes)
{
	static uint64_t chunk[PATTERN_WORDS];
	uint64_t index = 0;

	for (; bytes > 0; bytes -= PATTERN_CHUNK) {
		const char *at = (const char *)chunk;
		size_t left = PATTERN_CHUNK;

		for (size_t i = 0; i < PATTERN_WORDS; i++)
			chunk[i] = pattern_word(index++);
		while (left > 0) {
			ssize_t n = write(fd, at, left);

			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return -1;
			at += n;
			left -= (size_t)n;
		}
	}
	return 0;
}

/* Reads until PATTERN_CHUNK bytes or the end; the count, or -1 with errno set. */
static ssize_t pattern_read_chunk(int fd, uint64_t *chunk)
{
	size_t have = 0;

	while (have < PATTERN_CHUNK) {
		ssize_t n = read(fd, (char *)chunk + have, PATTERN_CHUNK - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/*
 * Reads to the end of the stream. 0 when it was exactly what pattern_send
 * wrote; -1 with errno set, EBADMSG when bytes were lost, added or changed.
 */
static int pattern_receive(int fd, uint64_t bytes)
{
	static uint64_t chunk[PATTERN_WORDS];
	uint64_t index = 0;
	int same = 1;
	ssize_t n;

	while ((n = pattern_read_chunk(fd, chunk)) > 0) {
		uint64_t difference = 0;

		for (size_t i = 0; i < PATTERN_WORDS; i++)
			difference |= chunk[i] ^ pattern_word(index + i);
		if (n != PATTERN_CHUNK || difference != 0)
			same = 0; /* read on: the writer must not block or get SIGPIPE */
		index += PATTERN_WORDS;
	}
	if (n < 0)
		return -1;
	if (!same || index * sizeof(uint64_t) != bytes) {
		errno = EBADMSG;
		return -1;
	}
	return 0;
}

#endif
