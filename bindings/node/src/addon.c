/*
 * The module: context-aware (no state but that of its environment), Node-API 8.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

/* version(): the loaded library's, as in MSB_VERSION */
static napi_value version(napi_env env, napi_callback_info info)
{
	(void)info;
	return number(env, msb_version());
}

/* setLogFd(fd) */
static napi_value set_log_fd(napi_env env, napi_callback_info info)
{
	msb_error err = MSB_ERROR_INIT;
	napi_value args[1];
	int64_t fd;

	if (get_args(env, info, args, 1) && get_int64(env, args[0], "fd", &fd) &&
	    msb_set_log_fd((msb_os_fd)descriptor_lent(fd), &err) != MSB_OK)
		throw_error(env, &err);
	return NULL;
}

static const napi_property_descriptor library_functions[] = {
	FUNCTION("version", version),
	FUNCTION("setLogFd", set_log_fd),
	FUNCTIONS_END,
};

static int define(napi_env env, napi_value exports, const napi_property_descriptor *functions)
{
	size_t count = 0;

	while (functions[count].utf8name)
		count++;
	return napi_define_properties(env, exports, count, functions) == napi_ok;
}

/* The declaration that the macro below lacks. */
NAPI_MODULE_EXPORT napi_value NAPI_MODULE_INITIALIZER(napi_env env, napi_value exports);

NAPI_MODULE_INIT()
{
	if (!handles_init(env) || !define(env, exports, library_functions) ||
	    !define(env, exports, sandbox_functions) || !define(env, exports, process_functions) ||
	    !define(env, exports, handle_functions) || !define(env, exports, blocking_functions) ||
	    !define(env, exports, listing_functions) || !define(env, exports, metrics_functions) ||
	    !define(env, exports, logs_functions) || !define(env, exports, pool_functions) ||
	    !define(env, exports, descriptor_functions)) {
		napi_throw_error(env, NULL, "microsandbox: the addon could not be set up");
		return NULL;
	}
	set_number(env, exports, "headerVersion", MSB_VERSION);
	return exports;
}
