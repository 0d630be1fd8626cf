/* The public functions of pools; as shim.c. */
#include "check.h"
#include "entry.h"
#include "shim.h"
#include "_cgo_export.h"

#include <stddef.h>

msb_result msb_pool_create(const msb_pool_options *options, msb_handle *out, msb_error *err)
{
	static const msb_pool_options defaults = MSB_POOL_OPTIONS_INIT;
	static const msb_sandbox_options plain = MSB_SANDBOX_OPTIONS_INIT;
	msb_pool_options o;
	msb_sandbox_options sandbox;
	msbc_place place;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = 0;
	result = msbc_input(&own, "msb_pool_options", options != NULL ? options : &defaults, 8, &o, sizeof o);
	if (result == MSB_OK)
		result = msbc_flags(&own, "msb_pool_options.flags", o.flags, MSB_CREATE_ASYNC);
	if (result == MSB_OK)
		result = msbc_sandbox_options(&own, o.sandbox != NULL ? o.sandbox : &plain, &sandbox, &place);
	if (result == MSB_OK && (sandbox.flags & MSB_CREATE_ASYNC) != 0)
		result = msbc_fail(&own, MSB_E_INVALID, "sandbox.flags: MSB_CREATE_ASYNC is the pool's");
	if (result == MSB_OK)
		result = msbgo_pool_create(&o, &sandbox, &place, out, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_pool_take(msb_handle pool, const msb_take_options *options, msb_handle *out, msb_error *err)
{
	static const msb_take_options defaults = MSB_TAKE_OPTIONS_INIT;
	msb_take_options o;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	*out = 0;
	result = msbc_input(&own, "msb_take_options", options != NULL ? options : &defaults, 8, &o, sizeof o);
	if (result == MSB_OK && (o.flags & MSB_CREATE_STORED) != 0)
		result = msbc_fail(&own, MSB_E_INVALID, "msb_take_options.flags: MSB_CREATE_STORED: a stored sandbox has its "
		                                        "name from the start: create it");
	if (result == MSB_OK)
		result = msbc_flags(&own, "msb_take_options.flags", o.flags,
		                    MSB_CREATE_ASYNC | MSB_CREATE_DETACHED | MSB_CREATE_REPLACE);
	if (result == MSB_OK)
		result = msbc_text(&own, "name", o.name, MAX_NAME);
	if (result == MSB_OK)
		result = msbgo_pool_take(pool, &o, out, &own);
	return msbc_settle(err, &own, result);
}

msb_result msb_pool_resize(msb_handle pool, uint32_t pool_size, msb_error *err)
{
	msb_error own;

	GUARD(err);
	return msbc_settle(err, &own, msbgo_pool_resize(pool, pool_size, &own));
}

msb_result msb_pool_info_get(msb_handle pool, msb_pool_info *out, msb_error *err)
{
	msb_pool_info info;
	msb_error own;
	msb_result result;

	GUARD(err);
	if (out == NULL)
		return missing(err, "out");
	result = msbc_output(&own, "msb_pool_info", out);
	if (result == MSB_OK)
		result = msbgo_pool_info_get(pool, &info, &own);
	if (result == MSB_OK)
		msbc_deliver(out, &info, sizeof info, offsetof(msb_pool_info, last_message));
	return msbc_settle(err, &own, result);
}
