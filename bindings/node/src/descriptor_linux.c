/*
 * Descriptors between the library and JavaScript: on Linux both mean the same.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

#include <unistd.h>

int64_t descriptor_lent(int64_t fd)
{
	return fd;
}

napi_value descriptor_taken(napi_env env, msb_os_fd fd)
{
	napi_value value = number(env, fd);

	if (!value)
		close(fd);
	return value;
}

/* fd(handle, events): a descriptor that becomes readable; the caller closes it. */
static napi_value event_fd(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	msb_handle handle;
	msb_os_fd fd;
	int64_t events;
	napi_value args[2];

	if (!get_args(env, info, args, 2) || !get_handle(env, args[0], &handle) ||
	    !get_int64(env, args[1], "events", &events))
		return NULL;
	if (msb_fd(handle, (uint32_t)events, &fd, &err) != MSB_OK) {
		throw_error(env, &err);
		return NULL;
	}
	return descriptor_taken(env, fd);
}

const napi_property_descriptor descriptor_functions[] = {
	FUNCTION("fd", event_fd),
	FUNCTIONS_END,
};
