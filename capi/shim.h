/* Types that the shim and the Go side share. */
#ifndef MSB_SHIM_H
#define MSB_SHIM_H

#include "microsandbox.h"

/* Where state lives, as the caller and the environment of this moment say. */
typedef struct msbc_place {
	const char *dir;     /* the caller's state_dir, or NULL */
	const char *home;    /* $MSB_HOME, or NULL */
	const char *runtime; /* $XDG_RUNTIME_DIR, or NULL */
	const char *data;    /* $XDG_DATA_HOME, or NULL */
	const char *user;    /* $HOME, or NULL */
} msbc_place;

/* Of shim.c, for its other files: the checks of sandbox options. */
msb_result msbc_sandbox_options(msb_error *err, const msb_sandbox_options *in, msb_sandbox_options *own, msbc_place *place);

#endif
