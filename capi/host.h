/* What the shim needs to be a polite guest in the host's process. */
#ifndef MSB_HOST_H
#define MSB_HOST_H

#if !defined(_WIN32)
#include <sys/resource.h>
#endif

/* Points at a word that is 1 here and 0 in a forked child. */
extern volatile int *msbc_alive;

/* The directory of this library, absolute; "" when it could not be found. */
const char *msbc_library_dir(void);

#if !defined(_WIN32)
/* The host's RLIMIT_NOFILE from before the Go runtime raised it. */
extern struct rlimit msbc_nofile;

/* Go calls this at the end of its initialisation. */
void msbc_runtime_ready(void);

/* Keeps the Go runtime, not yet started, from unblocking SIGCHLD on its threads. */
void msbc_keep_sigchld_blocked(void);
#endif

#endif
