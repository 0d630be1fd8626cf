/*
 * The public functions. Each tests for a forked process and for what it can
 * check of its arguments, calls the Go function of the same name with structs
 * of full size, and gives the caller the error. Including both the public
 * header and cgo's makes the compiler compare the two sides.
 */
#include "check.h"
#include "entry.h"
#include "shim.h"
#include "_cgo_export.h"

#include <stdlib.h>

#define MAX_STATE_DIR 3000
#define MAX_PATH 4095 /* bytes; PATH_MAX of Linux without the NUL */

msb_result msbc_forked_result(msb_error *err)
{
	msb_error own;

	msbc_fail(&own, MSB_E_FORKED,
	          "libmicrosandbox was loaded before fork(): load it in the child, or start the child with exec, "
	          "posix_spawn or multiprocessing's spawn method");
	own.stage = MSB_STAGE_NONE;
	return msbc_settle(err, &own, MSB_E_FORKED);
}

static const char *environment(const char *name)
{
#if defined(_WIN32)
	(void)name; /* Go asks for it: getenv would give bytes of the code page */
	return NULL;
#else
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
#endif
}

/* The environment is read at each call: hosts change it after load. */
static msb_result find_place(msb_error *err, const char *state_dir, msbc_place *place)
{
	msb_result result = msbc_text(err, "state_dir", state_dir, MAX_STATE_DIR);

	place->dir = state_dir;
	place->home = environment("MSB_HOME");
	place->runtime = state_dir == NULL ? environment("XDG_RUNTIME_DIR") : NULL;
	place->data = environment("XDG_DATA_HOME"); /* guest kernels are there, whatever state_dir is */
	place->user = environment("HOME");
	if (result == MSB_OK)
		result = msbc_text(err, "$MSB_HOME", place->home, MAX_STATE_DIR);
	if (result == MSB_OK)
		result = msbc_text(err, "$XDG_RUNTIME_DIR", place->runtime, MAX_STATE_DIR);
	if (result == MSB_OK)
		result = msbc_text(err, "$XDG_DATA_HOME", place->data, MAX_STATE_DIR);
	if (result == MSB_OK)
		result = msbc_text(err, "$HOME", place->user, MAX_STATE_DIR);
	return result;
}

/* ---- library ----------------------------------------------------------- */

uint32_t msb_version(void)
{
	return MSB_VERSION;
}

const char *msb_result_name(msb_result result)
{
	return msbc_result_name(result);
}

msb_result msb_set_log_fd(msb_os_fd fd, msb_error *err)
{
	msb_error own;
	msb_result result;

	GUARD(err);
	if (fd < -1)
		result = msbc_fail(&own, MSB_E_INVALID, "fd is %d: -1 turns the log off", (int)fd);
	else
		result = msbgo_set_log_fd(fd, &own);
	return msbc_settle(err, &own, result);
}

/* ---- sandboxes --------------------------------------------------------- */

msb_result msbc_sandbox_options(msb_error *err, const msb_sandbox_options *in, msb_sandbox_options *own,
                                msbc_place *place)
{
	msb_result result = msbc_input(err, "msb_sandbox_options", in, 8, own, sizeof *own);

	if (result == MSB_OK)
		result = msbc_flags(err, "msb_sandbox_options.flags", own->flags,
		                    MSB_CREATE_ASYNC | MSB_CREATE_DETACHED | MSB_CREATE_STORED | MSB_CREATE_REPLACE);
	if (result == MSB_OK)
		result = msbc_text(err, "name", own->name, MAX_NAME);
	if (result == MSB_OK)
		result = msbc_text(err, "msb_path", own->msb_path, MAX_PATH);
	if (result == MSB_OK)
		result = msbc_text(err, "root_path", own->root_path, MAX_PATH);
	if (result == MSB_OK)
		result = msbc_text(err, "kernel_path", own->kernel_path, MAX_PATH);
	if (result == MSB_OK)
		result = find_place(err, own->state_dir, place);
	return result;
}

msb_result msb_sandbox_create(const msb_sandbox_options *options, msb_handle *out, msb_error *err)
{
	msb_sandbox_options o;
	msbc_place place;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = 0;
	result = msbc_sandbox_options(&own, options, &o, &place);
	if (result == MSB_OK)
		result = msbgo_sandbox_create(&o, &place, out, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_probe(const msb_sandbox_options *options, msb_sandbox_info *out, msb_error *err)
{
	static const msb_sandbox_options defaults = MSB_SANDBOX_OPTIONS_INIT;
	msb_sandbox_options o;
	msb_sandbox_info info;
	msbc_place place;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	result = msbc_output(&own, "msb_sandbox_info", out);
	if (result == MSB_OK)
		result = msbc_sandbox_options(&own, options != NULL ? options : &defaults, &o, &place);
	if (result == MSB_OK)
		result = msbgo_probe(&o, &place, &info, &own);
	if (result == MSB_OK)
		msbc_deliver(out, &info, sizeof info, offsetof(msb_sandbox_info, receipt));
	return msbc_settle(err, &own, result);
}

msb_result msb_sandbox_open(const char *name, const char *state_dir, msb_handle *out, msb_error *err)
{
	msbc_place place;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = 0;
	if (name == NULL)
		return missing(err, "name");
	result = msbc_text(&own, "name", name, MAX_NAME);
	if (result == MSB_OK)
		result = find_place(&own, state_dir, &place);
	if (result == MSB_OK)
		result = msbgo_sandbox_open((char *)name, &place, out, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_sandbox_start(const msb_sandbox_options *options, msb_handle *out, msb_error *err)
{
	msb_sandbox_options o;
	msbc_place place;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = 0;
	result = msbc_sandbox_options(&own, options, &o, &place);
	if (result == MSB_OK && o.name == NULL)
		result = msbc_fail(&own, MSB_E_INVALID, "name is NULL: which sandbox is to be started?");
	if (result == MSB_OK)
		result = msbgo_sandbox_start(&o, &place, out, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_sandbox_remove(const char *name, const char *state_dir, msb_error *err)
{
	msbc_place place;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (name == NULL)
		return missing(err, "name");
	result = msbc_text(&own, "name", name, MAX_NAME);
	if (result == MSB_OK)
		result = find_place(&own, state_dir, &place);
	if (result == MSB_OK)
		result = msbgo_sandbox_remove((char *)name, &place, &own);
	return msbc_settle(err, &own, result);
}

static msb_result list_options(msb_error *err, const msb_list_options *in, msb_list_options *own, msbc_place *place)
{
	static const msb_list_options defaults = MSB_LIST_OPTIONS_INIT;
	msb_result result = msbc_input(err, "msb_list_options", in != NULL ? in : &defaults, 8, own, sizeof *own);

	if (result == MSB_OK)
		result = msbc_flags(err, "msb_list_options.flags", own->flags,
		                    MSB_LIST_STOPPED | MSB_LIST_POOLED);
	if (result == MSB_OK)
		result = find_place(err, own->state_dir, place);
	return result;
}

msb_result msb_sandbox_list(const msb_list_options *options, msb_sandbox_entry *entries, uint32_t capacity,
                            uint32_t *count, msb_error *err)
{
	msb_list_options o;
	msbc_place place;
	msb_error own;
	msb_result result = MSB_OK;

	GUARD(err);
	if (count == NULL)
		return missing(err, "count");
	*count = 0;
	if (capacity > 0) {
		if (entries == NULL)
			return missing(err, "entries");
		result = msbc_output(&own, "msb_sandbox_entry", entries);
	}
	if (result == MSB_OK)
		result = list_options(&own, options, &o, &place);
	if (result == MSB_OK)
		result = msbgo_sandbox_list(&o, &place, entries, capacity, count, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_audit(const char *state_dir, char *buffer, uint32_t capacity, uint32_t *length, uint32_t *orphans,
                     msb_error *err)
{
	msbc_place place;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (length != NULL)
		*length = 0;
	if (orphans != NULL)
		*orphans = 0;
	if (buffer == NULL && capacity > 0)
		return missing(err, "buffer");
	result = find_place(&own, state_dir, &place);
	if (result == MSB_OK)
		result = msbgo_audit(&place, buffer, capacity, length, orphans, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_sandbox_pid(msb_handle sandbox, int32_t *out, msb_error *err)
{
	msb_error own;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = 0;
	return msbc_settle(err, &own, msbgo_sandbox_pid(sandbox, out, &own));
}

msb_result msb_sandbox_name(msb_handle sandbox, char *buffer, uint32_t capacity, uint32_t *length, msb_error *err)
{
	msb_error own;

	GUARD(err);
	if (length != NULL)
		*length = 0;
	if (buffer == NULL && capacity > 0)
		return missing(err, "buffer");
	return msbc_settle(err, &own, msbgo_sandbox_name(sandbox, buffer, capacity, length, &own));
}

msb_result msb_sandbox_info_get(msb_handle sandbox, msb_sandbox_info *out, msb_error *err)
{
	msb_sandbox_info info;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	result = msbc_output(&own, "msb_sandbox_info", out);
	if (result == MSB_OK)
		result = msbgo_sandbox_info_get(sandbox, &info, &own);
	if (result == MSB_OK)
		msbc_deliver(out, &info, sizeof info, offsetof(msb_sandbox_info, receipt));
	return msbc_settle(err, &own, result);
}

msb_result msb_sandbox_metrics(msb_handle sandbox, msb_metrics *out, msb_error *err)
{
	msb_metrics metrics;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	result = msbc_output(&own, "msb_metrics", out);
	if (result == MSB_OK)
		result = msbgo_sandbox_metrics(sandbox, &metrics, &own);
	if (result == MSB_OK)
		msbc_deliver(out, &metrics, sizeof metrics, offsetof(msb_metrics, name));
	return msbc_settle(err, &own, result);
}

msb_result msb_metrics_list(const char *state_dir, msb_metrics *entries, uint32_t capacity, uint32_t *count,
                            msb_error *err)
{
	msbc_place place;
	msb_error own;
	msb_result result = MSB_OK;

	GUARD(err);
	if (count == NULL)
		return missing(err, "count");
	*count = 0;
	if (capacity > 0) {
		if (entries == NULL)
			return missing(err, "entries");
		result = msbc_output(&own, "msb_metrics", entries);
	}
	if (result == MSB_OK)
		result = find_place(&own, state_dir, &place);
	if (result == MSB_OK)
		result = msbgo_metrics_list(&place, entries, capacity, count, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_logs_open(const char *name, const char *state_dir, const msb_logs_options *options, msb_os_fd *out,
                         msb_error *err)
{
	static const msb_logs_options defaults = MSB_LOGS_OPTIONS_INIT;
	msb_logs_options o;
	msbc_place place;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = -1;
	if (name == NULL)
		return missing(err, "name");
	result = msbc_text(&own, "name", name, MAX_NAME);
	if (result == MSB_OK)
		result = msbc_input(&own, "msb_logs_options", options != NULL ? options : &defaults, 8, &o, sizeof o);
	if (result == MSB_OK)
		result = msbc_flags(&own, "msb_logs_options.flags", o.flags, MSB_LOGS_FOLLOW | MSB_LOGS_OVERLAPPED);
	if (result == MSB_OK)
		result = msbc_flags(&own, "msb_logs_options.sources", o.sources,
		                    MSB_LOG_STDOUT | MSB_LOG_STDERR | MSB_LOG_SUPERVISOR);
	if (result == MSB_OK && o.reserved != 0)
		result = msbc_fail(&own, MSB_E_INVALID, "reserved is %u, must be 0", (unsigned)o.reserved);
	if (result == MSB_OK)
		result = find_place(&own, state_dir, &place);
	if (result == MSB_OK)
		result = msbgo_logs_open((char *)name, &o, &place, out, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_sandbox_drain(msb_handle sandbox, int64_t deadline_ms, msb_error *err)
{
	msb_error own;

	GUARD(err);
	return msbc_settle(err, &own, msbgo_sandbox_drain(sandbox, deadline_ms, &own));
}

msb_result msb_sandbox_stop(msb_handle sandbox, int64_t grace_ms, msb_error *err)
{
	msb_error own;

	GUARD(err);
	return msbc_settle(err, &own, msbgo_sandbox_stop(sandbox, grace_ms, &own));
}

msb_result msb_sandbox_disarm(msb_handle sandbox, msb_error *err)
{
	msb_error own;

	GUARD(err);
	return msbc_settle(err, &own, msbgo_sandbox_disarm(sandbox, &own));
}

/* ---- programs ---------------------------------------------------------- */

static msb_result process_options(msb_error *err, const msb_process_options *in, msb_process_options *own)
{
	const size_t least = offsetof(msb_process_options, argv) + sizeof own->argv;
	msb_result result = msbc_input(err, "msb_process_options", in, least, own, sizeof *own);

	if (result == MSB_OK)
		result = msbc_flags(err, "msb_process_options.flags", own->flags,
		                    MSB_START_ASYNC | MSB_START_CLEAR_ENV | MSB_START_UMASK | MSB_START_OVERLAPPED);
	if (result == MSB_OK && (own->argv == NULL || own->argv[0] == NULL || own->argv[0][0] == '\0'))
		result = msbc_fail(err, MSB_E_INVALID, "argv names no program");
	if (result == MSB_OK)
		result = msbc_text(err, "cwd", own->cwd, MAX_PATH);
	if (result == MSB_OK && own->group_count > 0 && own->groups == NULL)
		result = msbc_fail(err, MSB_E_INVALID, "groups is NULL and group_count %u", (unsigned)own->group_count);
	if (result == MSB_OK && own->rlimit_count > 0 && own->rlimits == NULL)
		result = msbc_fail(err, MSB_E_INVALID, "rlimits is NULL and rlimit_count %u", (unsigned)own->rlimit_count);
	if (result == MSB_OK && own->reserved != 0)
		result = msbc_fail(err, MSB_E_INVALID, "reserved is %u, must be 0", (unsigned)own->reserved);
	if (result == MSB_OK && own->umask != 0 && (own->flags & MSB_START_UMASK) == 0)
		result = msbc_fail(err, MSB_E_INVALID, "umask is %#o, must be 0 without MSB_START_UMASK", (unsigned)own->umask);
	return result;
}

msb_result msb_process_start(msb_handle sandbox, const msb_process_options *options, msb_handle *out, msb_error *err)
{
	msb_process_options o;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = 0;
	result = process_options(&own, options, &o);
	if (result == MSB_OK)
		result = msbgo_process_start(sandbox, &o, out, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_process_stdio(msb_handle process, uint32_t which, msb_os_fd *out, msb_error *err)
{
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = -1;
	if (which > 2)
		result = msbc_fail(&own, MSB_E_INVALID, "which is %u: 0, 1 or 2 is meant", (unsigned)which);
	else
		result = msbgo_process_stdio(process, which, out, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_process_number(msb_handle process, uint64_t *out, msb_error *err)
{
	msb_error own;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = 0;
	return msbc_settle(err, &own, msbgo_process_number(process, out, &own));
}

msb_result msb_process_resize(msb_handle process, uint32_t rows, uint32_t cols, msb_error *err)
{
	msb_error own;

	GUARD(err);
	return msbc_settle(err, &own, msbgo_process_resize(process, rows, cols, &own));
}

/* ---- any handle -------------------------------------------------------- */

msb_result msb_kill(msb_handle handle, int32_t signo, msb_error *err)
{
	msb_error own;

	GUARD(err);
	return msbc_settle(err, &own, msbgo_kill(handle, signo, &own));
}

/* Go sets the outcome's size when the object has ended: then there is one to deliver. */
static void deliver_outcome(msb_outcome *out, const msb_outcome *outcome)
{
	if (outcome->size != 0)
		msbc_deliver(out, outcome, sizeof *outcome, sizeof *outcome);
}

msb_result msb_wait(msb_handle handle, int64_t timeout_ms, msb_outcome *out, msb_error *err)
{
	msb_outcome outcome = {0, 0, 0, 0, 0, 0, 0, 0, 0};
	msb_error own;
	msb_result result;

	GUARD(err);
	result = msbc_output(&own, "msb_outcome", out);
	if (result == MSB_OK)
		result = msbgo_wait(handle, timeout_ms, &outcome, &own);
	deliver_outcome(out, &outcome);
	return msbc_settle(err, &own, result);
}

msb_result msb_try_wait(msb_handle handle, int32_t *done, msb_outcome *out, msb_error *err)
{
	msb_outcome outcome = {0, 0, 0, 0, 0, 0, 0, 0, 0};
	msb_error own;
	msb_result result;

	GUARD(err);
	if (done == NULL)
		return missing(err, "done");
	*done = 0;
	result = msbc_output(&own, "msb_outcome", out);
	if (result == MSB_OK)
		result = msbgo_try_wait(handle, done, &outcome, &own);
	deliver_outcome(out, &outcome);
	return msbc_settle(err, &own, result);
}

msb_result msb_fd(msb_handle handle, uint32_t events, msb_os_fd *out, msb_error *err)
{
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = -1;
	result = msbc_flags(&own, "events", events, MSB_EVENT_READY | MSB_EVENT_DONE);
	if (result == MSB_OK && events == 0)
		result = msbc_fail(&own, MSB_E_INVALID, "events is 0: it would never become readable");
	if (result == MSB_OK)
		result = msbgo_fd(handle, events, out, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_cancel(msb_handle handle, msb_error *err)
{
	msb_error own;

	GUARD(err);
	return msbc_settle(err, &own, msbgo_cancel(handle, &own));
}

msb_result msb_close(msb_handle handle)
{
	GUARD(NULL);
	return handle == 0 ? MSB_OK : msbgo_close(handle);
}
