/* Types, results, errors and the library itself. Included by microsandbox.h. */
#ifndef MICROSANDBOX_BASE_H
#define MICROSANDBOX_BASE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#  if defined(MSB_BUILDING)
#    define MSB_API __declspec(dllexport)
#  else
#    define MSB_API __declspec(dllimport)
#  endif
typedef intptr_t msb_os_fd; /* a HANDLE */
#else
#  define MSB_API __attribute__((visibility("default")))
typedef int32_t msb_os_fd;  /* a file descriptor */
#endif

#define MSB_VERSION_MAJOR 0
#define MSB_VERSION_MINOR 1
#define MSB_VERSION_PATCH 0
#define MSB_VERSION ((MSB_VERSION_MAJOR << 16) | (MSB_VERSION_MINOR << 8) | MSB_VERSION_PATCH)

typedef uint64_t msb_handle;
typedef int32_t msb_result;

/* Results. */
#define MSB_OK              0
#define MSB_E_INVALID      (-1)  /* a wrong argument; the message names it */
#define MSB_E_HANDLE       (-2)  /* stale, forged, closed or wrong-kind handle */
#define MSB_E_STATE        (-3)  /* not possible in the present state */
#define MSB_E_TIMED_OUT    (-4)  /* the given time passed; the operation goes on */
#define MSB_E_CANCELED     (-5)  /* msb_cancel was called */
#define MSB_E_CLOSED       (-6)  /* the handle was closed during the call */
#define MSB_E_NOT_FOUND    (-7)  /* no such sandbox, file or directory */
#define MSB_E_EXISTS       (-8)  /* a living or stored sandbox has this name */
#define MSB_E_PERMISSION   (-9)  /* the operating system refused */
#define MSB_E_UNSUPPORTED (-10)  /* this engine, kernel or build cannot do it */
#define MSB_E_LIMIT       (-11)  /* too many or too large (descriptors, memory, argv) */
#define MSB_E_TOO_NEW     (-12)  /* the caller uses fields or flags of a later version */
#define MSB_E_SETUP       (-13)  /* a protection could not be applied; nothing runs */
#define MSB_E_EXEC        (-14)  /* the program could not be started; see sys_errno */
#define MSB_E_IO          (-15)  /* a system call failed; see sys_errno */
#define MSB_E_FORKED      (-16)  /* the library was loaded before fork() */
#define MSB_E_LAUNCH      (-17)  /* the msb executable could not be started or misbehaved */
#define MSB_E_BOOT        (-18)  /* the engine did not come up */
#define MSB_E_DONE        (-19)  /* already finished: there is nothing to act on */
#define MSB_E_GONE        (-20)  /* the sandbox ended before it could answer */
#define MSB_E_BUFFER      (-21)  /* the buffer is too small; the needed length was stored */
#define MSB_E_INTERNAL    (-99)  /* a bug in the library; the message says where */

/* Where an error arose. */
#define MSB_STAGE_NONE      0
#define MSB_STAGE_ARGUMENT  1  /* checking the arguments */
#define MSB_STAGE_LAUNCH    2  /* finding and starting msb */
#define MSB_STAGE_CONFIG    3  /* msb reading its configuration */
#define MSB_STAGE_STATE     4  /* state directory, name, records */
#define MSB_STAGE_ROOT      5  /* root file system */
#define MSB_STAGE_ENGINE    6  /* booting the engine */
#define MSB_STAGE_CONTROL   7  /* talking to the supervisor */
#define MSB_STAGE_EXEC      8  /* starting a program: the executable */
#define MSB_STAGE_CWD       9  /* starting a program: its working directory */
#define MSB_STAGE_STDIO    10  /* starting a program: its stdio */

typedef struct msb_error {
	uint32_t size;
	int32_t code;        /* the returned code */
	int32_t sys_errno;   /* errno of the failing system call, or 0 */
	uint32_t stage;      /* MSB_STAGE_* */
	char message[496];   /* UTF-8, one line, NUL-terminated, "" on success */
} msb_error;
#define MSB_ERROR_INIT { (uint32_t)sizeof(msb_error), 0, 0, 0, {0} }

/* The version of the loaded library, as in MSB_VERSION. Works after fork. */
MSB_API uint32_t msb_version(void);

/* The name of a result ("MSB_E_INVALID"), static; "MSB_E_?" when unknown. Works after fork. */
MSB_API const char *msb_result_name(msb_result result);

/*
 * Sends one line of text per action on a sandbox (time, name, pid, action) to
 * fd; -1 turns it off (the default). The library keeps a duplicate: the caller
 * may close its own. A line that cannot be written at once is dropped and
 * counted, never waited for. Expect: IO (fd is not open), LIMIT.
 */
MSB_API msb_result msb_set_log_fd(msb_os_fd fd, msb_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MICROSANDBOX_BASE_H */
