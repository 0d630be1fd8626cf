/* What every handle takes: signals, waiting, events, closing. Included by microsandbox.h. */
#ifndef MICROSANDBOX_HANDLE_H
#define MICROSANDBOX_HANDLE_H

#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSB_CAUSE_UNKNOWN       0  /* it ended; how could not be learnt */
#define MSB_CAUSE_EXITED        1  /* program: exit_code */
#define MSB_CAUSE_SIGNALED      2  /* program: signal */
#define MSB_CAUSE_SANDBOX_ENDED 3  /* program: its sandbox ended under it */
#define MSB_CAUSE_STOPPED       4  /* sandbox: stop or close */
#define MSB_CAUSE_DRAINED       5  /* sandbox: drain */
#define MSB_CAUSE_KILLED        6  /* sandbox: msb_kill, or SIGKILL from elsewhere */
#define MSB_CAUSE_OWNER_GONE    7  /* sandbox: its owner ended */
#define MSB_CAUSE_MEMORY_LIMIT  8  /* sandbox and its programs: over memory_bytes */
#define MSB_CAUSE_CRASHED       9  /* sandbox: the supervisor or engine failed */
#define MSB_CAUSE_START_FAILED 10  /* it never ran; msb_wait returns the error */
#define MSB_CAUSE_IDLE_TIMEOUT 11  /* sandbox: idle_timeout_ms */
#define MSB_CAUSE_MAX_DURATION 12  /* sandbox: max_duration_ms */
#define MSB_CAUSE_WALL_LIMIT   13  /* program: wall_limit_ms; signal */
#define MSB_CAUSE_CPU_LIMIT    14  /* program: its own process passed its rlimit CPU; signal */
#define MSB_CAUSE_FILE_LIMIT   15  /* program: its own process wrote past its rlimit FSIZE; signal */

#define MSB_CAUSE_CPU_TIME     16  /* sandbox and its programs: cpu_time_limit_ms */
#define MSB_CAUSE_OUTPUT_LIMIT 17  /* program: output_limit_bytes; signal */

/*
 * msb_outcome.limits_hit: limits that the program and all that it started have met
 * until its own end, or the sandbox's programs in its life, whether they ended by
 * them or went on with an error.
 */
#define MSB_LIMIT_MEMORY    0x01u  /* memory_bytes */
#define MSB_LIMIT_CPU_TIME  0x02u  /* cpu_time_limit_ms, rlimit CPU */
#define MSB_LIMIT_WALL_TIME 0x04u  /* wall_limit_ms; sandbox: max_duration_ms */
#define MSB_LIMIT_PROCESSES 0x08u  /* max_processes: a fork or a new thread was refused */
#define MSB_LIMIT_OUTPUT    0x10u  /* output_limit_bytes */
#define MSB_LIMIT_FILE_SIZE 0x20u  /* rlimit FSIZE */
#define MSB_LIMIT_OVERLAY   0x40u  /* overlay_bytes: /, /tmp or /dev/shm was full when a program ended */
#define MSB_LIMIT_OPEN_FILES 0x80u /* one of its processes had as many as it may when it ended */

typedef struct msb_outcome {
	uint32_t size;
	uint32_t cause;        /* MSB_CAUSE_* */
	int32_t exit_code;     /* with EXITED: 0 to 255, on Windows any; else -1 */
	int32_t signal;        /* with SIGNALED and a program's own limits (Linux number), else 0 */
	int64_t wall_time_ns;  /* from start to end; -1 when unknown */
	/*
	 * What a program and all that it started used until its own end: processor
	 * time in steps of 10 ms, -1 when unknown; and the largest resident size of
	 * one of those processes that had ended, 0 when unknown. Unknown for sandboxes.
	 */
	int64_t cpu_time_ns;
	uint64_t memory_peak_bytes;
	uint32_t limits_hit;   /* MSB_LIMIT_* */
	uint32_t reserved;
} msb_outcome;
#define MSB_OUTCOME_INIT { (uint32_t)sizeof(msb_outcome), 0, 0, 0, 0, 0, 0, 0, 0 }

/*
 * Signals. A sandbox takes 0 or 9 (SIGKILL): both kill the supervisor, engine
 * and programs, at once. A program takes 1 to 64: SIGKILL ends it and all that it
 * started, whatever became of their parents, sessions and ids; others go to the
 * program's own process. Once that has ended the outcome is final, and what it
 * started lives on until the sandbox ends. Never reaches another process
 * whose id was reused, and works while other threads wait or read. On Windows
 * a kill ends the job with exit code 1, and a program takes 9, and 2 and 15, which
 * send CTRL_BREAK to the programs of its console; others are UNSUPPORTED.
 * Expect: DONE (finished already), STATE (a program that is still starting), GONE.
 */
MSB_API msb_result msb_kill(msb_handle handle, int32_t signo, msb_error *err);

/*
 * Waits until the sandbox or program (not a pool) has ended. Any number of threads may wait,
 * and again later: the outcome stays. out may be NULL. A start that failed
 * returns its error here, with cause START_FAILED.
 * Expect: TIMED_OUT, CANCELED, CLOSED, or the error of a failed start.
 */
MSB_API msb_result msb_wait(msb_handle handle, int64_t timeout_ms, msb_outcome *out, msb_error *err);

/* msb_wait without waiting: *done is 1 and out is filled in, or *done is 0. */
MSB_API msb_result msb_try_wait(msb_handle handle, int32_t *done, msb_outcome *out, msb_error *err);

#define MSB_EVENT_READY 1u  /* started, or failed to; of a pool: full, or a boot has failed */
#define MSB_EVENT_DONE  2u  /* ended, or failed to start; for the owner's sandbox: and nothing of it is left */

/*
 * Gives a descriptor (the read end of a pipe, non-blocking) that becomes
 * readable once any of the events has happened: one byte, then end of file. It
 * works with poll, select, epoll, asyncio and libuv, and goes on to work after
 * msb_close; that of a sandbox which lives on without this handle (disarmed, or
 * not the owner's) becomes readable at msb_close. Each call makes a new one.
 * On Windows it is the handle of an event object, which is signalled for good once
 * any of the events has happened: for WaitForSingleObject, WaitForMultipleObjects
 * and RegisterWaitForSingleObject. The caller closes it with CloseHandle.
 * Expect: LIMIT.
 */
MSB_API msb_result msb_fd(msb_handle handle, uint32_t events, msb_os_fd *out, msb_error *err);

/* Makes every call that blocks on this handle now return MSB_E_CANCELED. */
MSB_API msb_result msb_cancel(msb_handle handle, msb_error *err);

/*
 * Gives the handle back: it is invalid at once, blocked calls return
 * MSB_E_CLOSED. An attached sandbox of the owner is asked to stop (TERM, grace,
 * KILL) and killed when it does not; take an MSB_EVENT_DONE descriptor first to
 * learn when nothing is left. Never blocks; 0 is a no-op.
 */
MSB_API msb_result msb_close(msb_handle handle);

#ifdef __cplusplus
}
#endif
#endif /* MICROSANDBOX_HANDLE_H */
