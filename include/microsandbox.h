/*
 * libmicrosandbox: run untrusted code from inside any program.
 * SPDX-License-Identifier: Apache-2.0
 *
 *     msb_error err = MSB_ERROR_INIT;
 *     msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
 *     msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
 *     const char *argv[] = {"echo", "hello", NULL};
 *     msb_handle sandbox, process;
 *     msb_outcome outcome = MSB_OUTCOME_INIT;
 *
 *     po.argv = argv;
 *     po.stdio[1].kind = MSB_STDIO_INHERIT;
 *     if (msb_sandbox_create(&so, &sandbox, &err) != MSB_OK ||
 *         msb_process_start(sandbox, &po, &process, &err) != MSB_OK ||
 *         msb_wait(process, -1, &outcome, &err) != MSB_OK)
 *             fprintf(stderr, "%s\n", err.message);
 *     msb_close(sandbox);
 *
 * Rules that hold for every function:
 *
 * Results.  MSB_OK or a negative MSB_E_*.  Numbers are never reused.  What a
 *   guest program did is an msb_outcome, not an error.  Each function lists the
 *   codes to expect; INVALID, HANDLE, FORKED and INTERNAL can come from all.
 * Errors.  The last argument is the caller's msb_error, or NULL.  Set its size
 *   (MSB_ERROR_INIT); a size below 16 leaves it untouched.  It is written on
 *   every call, on success too (code 0, empty message).
 * Handles.  0 is never valid.  A stale, forged, closed or wrong-kind handle
 *   gives MSB_E_HANDLE, from any thread.  Values stay below 2^53.
 * Structs.  Each starts with `size`, set by the caller to sizeof.  A smaller
 *   size means that later fields are 0 (input) or not wanted (output).  A larger
 *   one is accepted as long as the unknown input tail is all zero bytes, else
 *   MSB_E_TOO_NEW; an unknown output tail is left alone.  Sizes are multiples of
 *   8 up to 64 KiB.  Zero is always the default.  Reserved fields must be 0, and
 *   an unknown MSB_* value is MSB_E_INVALID.
 * Memory.  Inputs are copied before return.  The library returns no memory to
 *   free: text goes to the caller's buffer, and the needed length is reported.
 * Strings.  Paths, argv and environment are NUL-terminated bytes of any
 *   encoding.  Names, labels and messages are UTF-8.  NULL is the default; an
 *   empty string is not.
 * Descriptors.  Each one that the library returns is close-on-exec, blocking
 *   unless stated, and the caller's to close.
 * Threads.  Every function may be called from any thread at any time, on the
 *   same handle too.  No function calls back.
 * Time.  Monotonic milliseconds.  Timeout arguments: negative = for ever, 0 =
 *   poll.  Times in option structs: 0 = the default, at most a year, negative
 *   only where stated.
 * Fork.  In a process forked after the library was loaded every call gives
 *   MSB_E_FORKED at once.  exec and posix_spawn are unaffected.
 * Process.  The library keeps the host's signal mask and handlers, limits,
 *   working directory, umask, environment and descriptor flags as they were,
 *   and never prints, exits or aborts.  It cannot be unloaded.  On Linux it
 *   needs glibc.
 * Windows.  A descriptor is a HANDLE that no child inherits, to be closed with
 *   CloseHandle.  Strings are UTF-8, also paths.  sys_errno is what GetLastError
 *   gives.  There is no fork.  docs/platforms.md says what works there.
 */
#ifndef MICROSANDBOX_H
#define MICROSANDBOX_H

/* A program includes this file only; each of these compiles alone, too. */
#include "microsandbox/base.h"    /* types, results, errors, the library itself */
#include "microsandbox/mounts.h"  /* what a sandbox shows of the host */
#include "microsandbox/sandbox.h" /* msb_sandbox_create and what a sandbox's handle does */
#include "microsandbox/pool.h"    /* sandboxes that are booted ahead */
#include "microsandbox/store.h"   /* sandboxes by name: stored ones, lists, the audit */
#include "microsandbox/metrics.h" /* what sandboxes use */
#include "microsandbox/logs.h"    /* what sandboxes and their programs say */
#include "microsandbox/process.h" /* msb_process_start */
#include "microsandbox/handle.h"  /* what every handle takes: signals, waiting, events, closing */

#endif /* MICROSANDBOX_H */
