/* What host.c and lives.c share: sandboxes and programs of both sides. */
#ifndef HOST_H
#define HOST_H

#include "microsandbox.h"
#include "serve.h"

#include <sys/types.h>

#define TIMEOUT_MS 60000

/* A running program of either side. */
struct program {
	msb_handle handle; /* library */
	pid_t pid;         /* peer */
	int in, out;       /* our ends of its pipes; in is -1 when there is none */
};

extern const char *state_dir, *msb_path;

/* metrics_ms as in msb_sandbox_options: 0 is the default, negative is off. */
int create(const char *kind, const char *root, const char *name, int64_t metrics_ms, msb_handle *out);

/* Closes the sandbox and waits until nothing of it is left. */
int close_sandbox(msb_handle closing);

/* feed: with a pipe to its standard input. Its standard output is always one. */
int start_library(struct program *p, msb_handle in, char **argv, int feed);
int start_peer(struct program *p, char **argv, int feed);

/* Waits for the end; anything but exit status 0 is a failure. */
int end_library(struct program *p);
int end_peer(struct program *p);

/* Reads text to its end; *first is when its first byte came. */
int read_text(int fd, int64_t *first);

/* The commands of lives.c. */
int lives_command(char **words, int count);

#endif
