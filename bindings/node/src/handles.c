/*
 * The verbs that every handle has, and the list of what an environment has open.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

/* Per environment, touched by its thread only. */
typedef struct open_handles {
	msb_handle *list;
	size_t length, capacity;
} open_handles;

static void close_all(void *data)
{
	open_handles *open = data;

	for (size_t i = 0; i < open->length; i++)
		msb_close(open->list[i]);
	open->length = 0;
}

static void free_handles(napi_env env, void *data, void *hint)
{
	open_handles *open = data;

	(void)env;
	(void)hint;
	close_all(open);
	free(open->list);
	free(open);
}

int handles_init(napi_env env)
{
	open_handles *open = calloc(1, sizeof *open);

	if (!open || napi_set_instance_data(env, open, free_handles, NULL) != napi_ok) {
		free(open);
		return 0;
	}
	return 1;
}

static open_handles *handles_of(napi_env env)
{
	void *open = NULL;

	napi_get_instance_data(env, &open);
	return open;
}

int handles_add(napi_env env, msb_handle handle)
{
	open_handles *open = handles_of(env);

	if (open->length == open->capacity) {
		size_t capacity = open->capacity ? open->capacity * 2 : 16;
		msb_handle *list = realloc(open->list, capacity * sizeof *list);

		if (!list) {
			msb_close(handle);
			return 0;
		}
		open->list = list;
		open->capacity = capacity;
	}
	open->list[open->length++] = handle;
	return 1;
}

napi_value handles_open(napi_env env, msb_handle handle)
{
	if (handles_add(env, handle))
		return number(env, (double)handle);
	throw_no_memory(env);
	return NULL;
}

static void handles_remove(napi_env env, msb_handle handle)
{
	open_handles *open = handles_of(env);

	/* From the end: what was opened last is mostly closed first. */
	for (size_t i = open->length; i-- > 0;) {
		if (open->list[i] == handle) {
			open->list[i] = open->list[--open->length];
			return;
		}
	}
}

/* close(handle): never blocks; an unknown handle is an error. */
static napi_value handle_close(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle handle;
	napi_value args[1];

	if (!get_args(env, info, args, 1) || !get_handle(env, args[0], &handle))
		return NULL;
	handles_remove(env, handle);
	err.code = msb_close(handle);
	if (err.code != MSB_OK) {
		strcpy(err.message, "close: not an open handle");
		throw_error(env, &err);
	}
	return NULL;
}

/* kill(handle, signo) */
static napi_value handle_kill(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle handle;
	int64_t signo;
	napi_value args[2];

	if (!get_args(env, info, args, 2) || !get_handle(env, args[0], &handle) ||
	    !get_int64(env, args[1], "signal", &signo))
		return NULL;
	/* Out of int32_t would wrap to a signal that nobody asked for. */
	if (signo < INT32_MIN || signo > INT32_MAX)
		signo = -1;
	if (msb_kill(handle, (int32_t)signo, &err) != MSB_OK)
		throw_error(env, &err);
	return NULL;
}

/* tryWait(handle): the outcome, or null while it runs; throws the error of a failed start. */
static napi_value handle_try_wait(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle handle;
	int32_t done = 0;
	napi_value args[1], none;

	if (!get_args(env, info, args, 1) || !get_handle(env, args[0], &handle))
		return NULL;
	if (msb_try_wait(handle, &done, &outcome, &err) != MSB_OK) {
		throw_error(env, &err);
		return NULL;
	}
	if (done)
		return outcome_object(env, &outcome);
	return napi_get_null(env, &none) == napi_ok ? none : NULL;
}

const napi_property_descriptor handle_functions[] = {
	FUNCTION("close", handle_close),
	FUNCTION("kill", handle_kill),
	FUNCTION("tryWait", handle_try_wait),
	FUNCTIONS_END,
};
