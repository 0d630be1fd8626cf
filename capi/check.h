/*
 * Argument checks of the shim. Each returns MSB_OK or has filled in *err, which
 * is the shim's own, never NULL and of full size. Nothing here allocates or
 * takes a lock, so all of it works in a forked child.
 */
#ifndef MSB_CHECK_H
#define MSB_CHECK_H

#include "microsandbox.h"

#include <stddef.h>

/* No struct of any version is larger: such a size is an uninitialised one. */
#define MSBC_MAX_SIZE 65536u

/* Fills in an error without errno, with stage ARGUMENT, and returns its code. */
msb_result msbc_fail(msb_error *err, msb_result code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Copies an input struct of the caller's size into ours of `full` bytes, later
 * fields zero. `least` is the size through the last field without a default.
 */
msb_result msbc_input(msb_error *err, const char *what, const void *in, size_t least, void *own, size_t full);

/* Checks the size of an output struct that may be NULL. */
msb_result msbc_output(msb_error *err, const char *what, const void *out);

/*
 * Copies as much of our output struct as the caller's size takes, but not its
 * size. It ends in text from offset `text` on (`full` when it does not), which
 * stays NUL-terminated when it is cut. out may be NULL.
 */
void msbc_deliver(void *out, const void *own, size_t full, size_t text);

/* Checks that flags has no bits but those known. */
msb_result msbc_flags(msb_error *err, const char *what, uint32_t flags, uint32_t known);

/* Checks that a text argument has 1 to `most` bytes; NULL is fine. */
msb_result msbc_text(msb_error *err, const char *what, const char *text, size_t most);

/* Gives the caller the error of a finished call, and returns its code. */
msb_result msbc_settle(msb_error *err, const msb_error *own, msb_result result);

/* The name of a result, or "MSB_E_?". */
const char *msbc_result_name(msb_result result);

#endif
