/* What the public functions begin with. */
#ifndef MSB_ENTRY_H
#define MSB_ENTRY_H

#include "check.h"
#include "host.h"

#define MAX_NAME 128 /* bytes of a sandbox's name */

/* The answer of every call in a forked process. */
msb_result msbc_forked_result(msb_error *err);

#define GUARD(err)                                      \
	do {                                            \
		if (__builtin_expect(*msbc_alive == 0, 0)) \
			return msbc_forked_result(err); \
	} while (0)

/* An argument that must not be NULL. */
static inline msb_result missing(msb_error *err, const char *what)
{
	msb_error own;

	return msbc_settle(err, &own, msbc_fail(&own, MSB_E_INVALID, "%s is NULL", what));
}

#endif
