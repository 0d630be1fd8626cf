/*
 * C errors to JavaScript values.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

#include <stdio.h>

napi_value error_object(napi_env env, const msb_error *err)
{
	napi_value object;

	if (napi_create_object(env, &object) != napi_ok)
		return NULL;
	set_number(env, object, "code", err->code);
	set_number(env, object, "errno", err->sys_errno);
	set_number(env, object, "stage", err->stage);
	set_string(env, object, "message", err->message);
	return object;
}

void throw_error(napi_env env, const msb_error *err)
{
	napi_value object = error_object(env, err);

	/* An exception that is pending already says more: keep it. */
	if (object)
		napi_throw(env, object);
}

void throw_invalid(napi_env env, const char *what, const char *problem)
{
	msb_error err = MSB_ERROR_INIT;

	err.code = MSB_E_INVALID;
	err.stage = MSB_STAGE_ARGUMENT;
	snprintf(err.message, sizeof err.message, "%s %s", what, problem);
	throw_error(env, &err);
}

void throw_no_memory(napi_env env)
{
	msb_error err = MSB_ERROR_INIT;

	err.code = MSB_E_LIMIT;
	snprintf(err.message, sizeof err.message, "out of memory");
	throw_error(env, &err);
}
