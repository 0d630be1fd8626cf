/*
 * Descriptors between the library and JavaScript. The library has handles, JavaScript
 * the numbers of the C runtime inside node.exe, which only libuv there can translate.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

#include <stdlib.h>
#include <windows.h>

/* Of libuv, which node.exe exports; its header is not needed for two functions. */
__declspec(dllimport) int uv_open_osfhandle(HANDLE handle);
__declspec(dllimport) HANDLE uv_get_osfhandle(int fd);

int64_t descriptor_lent(int64_t fd)
{
	return fd < 0 || fd > INT32_MAX ? -1 : (int64_t)(intptr_t)uv_get_osfhandle((int)fd);
}

napi_value descriptor_taken(napi_env env, msb_os_fd fd)
{
	msb_error err = MSB_ERROR_INIT;
	int number_of = uv_open_osfhandle((HANDLE)fd);

	if (number_of < 0) {
		CloseHandle((HANDLE)fd);
		err.code = MSB_E_LIMIT;
		throw_error(env, &err);
		return NULL;
	}
	/* Out of memory: the runtime has the handle, and the process not long to live. */
	return number(env, number_of);
}

/* pipeBytes(fd): how many bytes can be read without waiting; 0 also when it is none of ours. */
static napi_value pipe_bytes(napi_env env, napi_callback_info info)
{
	napi_value args[1];
	DWORD available = 0;
	int64_t fd;

	if (!get_args(env, info, args, 1) || !get_int64(env, args[0], "fd", &fd))
		return NULL;
	if (!PeekNamedPipe((HANDLE)(intptr_t)descriptor_lent(fd), NULL, 0, NULL, &available, NULL))
		available = 0;
	return number(env, available);
}

/* ---- watches ---------------------------------------------------------- */

/*
 * One wait for an event object by a thread of the system's pool, which tells the
 * JavaScript thread. It goes when it is cancelled, garbage, or its environment ends.
 */
typedef struct watch {
	HANDLE event, wait;
	napi_threadsafe_function tell; /* NULL: it has ended */
} watch;

static void CALLBACK on_event(void *data, BOOLEAN timed_out)
{
	watch *w = data;

	(void)timed_out;
	napi_call_threadsafe_function(w->tell, NULL, napi_tsfn_nonblocking);
}

/* Once, then a no-op: a callback that runs is waited for, and none runs afterwards. */
static void watch_end(void *data)
{
	watch *w = data;

	if (!w->tell)
		return;
	UnregisterWaitEx(w->wait, INVALID_HANDLE_VALUE);
	CloseHandle(w->event);
	napi_release_threadsafe_function(w->tell, napi_tsfn_abort);
	w->tell = NULL;
}

static void watch_forget(napi_env env, watch *w)
{
	if (w->tell)
		napi_remove_env_cleanup_hook(env, watch_end, w);
	watch_end(w);
}

static void watch_free(napi_env env, void *data, void *hint)
{
	(void)hint;
	watch_forget(env, data);
	free(data);
}

static int watch_begin(napi_env env, watch *w, napi_value callback)
{
	napi_value name;

	if (napi_create_string_utf8(env, "microsandbox", NAPI_AUTO_LENGTH, &name) != napi_ok ||
	    napi_create_threadsafe_function(env, callback, NULL, name, 0, 1, NULL, NULL, NULL, NULL, &w->tell) != napi_ok)
		return 0;
	/* After the function's own hook, hence run before it. */
	if (napi_add_env_cleanup_hook(env, watch_end, w) == napi_ok) {
		if (RegisterWaitForSingleObject(&w->wait, w->event, on_event, w, INFINITE, WT_EXECUTEONLYONCE))
			return 1;
		napi_remove_env_cleanup_hook(env, watch_end, w);
	}
	napi_release_threadsafe_function(w->tell, napi_tsfn_abort);
	w->tell = NULL;
	return 0;
}

/* watch(handle, events, callback): calls it once; a watch for the functions below. */
static napi_value watch_new(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle handle;
	msb_os_fd event;
	int64_t events;
	napi_value args[3], result;
	watch *w;

	if (!get_args(env, info, args, 3) || !get_handle(env, args[0], &handle) ||
	    !get_int64(env, args[1], "events", &events))
		return NULL;
	if (msb_fd(handle, (uint32_t)events, &event, &err) != MSB_OK) {
		throw_error(env, &err);
		return NULL;
	}
	w = calloc(1, sizeof *w);
	if (!w || napi_create_external(env, w, watch_free, NULL, &result) != napi_ok) {
		free(w);
		CloseHandle((HANDLE)event);
		throw_no_memory(env);
		return NULL;
	}
	w->event = (HANDLE)event;
	if (!watch_begin(env, w, args[2])) {
		CloseHandle(w->event);
		throw_no_memory(env);
		return NULL;
	}
	return result;
}

static watch *get_watch(napi_env env, napi_callback_info info)
{
	napi_value args[1];
	void *w = NULL;

	if (get_args(env, info, args, 1) && napi_get_value_external(env, args[0], &w) != napi_ok)
		napi_throw_type_error(env, NULL, "watch must be one of watch()");
	return w;
}

/* watchEnd(watch): nothing is called any more; once, then a no-op. */
static napi_value watch_cancel(napi_env env, napi_callback_info info)
{
	watch *w = get_watch(env, info);

	if (w)
		watch_forget(env, w);
	return NULL;
}

/* watchRef(watch), watchUnref(watch): whether it keeps the process running. */
static napi_value watch_ref(napi_env env, napi_callback_info info)
{
	watch *w = get_watch(env, info);

	if (w && w->tell)
		napi_ref_threadsafe_function(env, w->tell);
	return NULL;
}

static napi_value watch_unref(napi_env env, napi_callback_info info)
{
	watch *w = get_watch(env, info);

	if (w && w->tell)
		napi_unref_threadsafe_function(env, w->tell);
	return NULL;
}

const napi_property_descriptor descriptor_functions[] = {
	FUNCTION("pipeBytes", pipe_bytes),
	FUNCTION("watch", watch_new),
	FUNCTION("watchEnd", watch_cancel),
	FUNCTION("watchRef", watch_ref),
	FUNCTION("watchUnref", watch_unref),
	FUNCTIONS_END,
};
