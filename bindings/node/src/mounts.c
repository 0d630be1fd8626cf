/*
 * What a sandbox shows of the host: an array of {kind, flags, source, target, sizeBytes}.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

static int get_mount(napi_env env, scratch *memory, napi_value object, msb_mount *out)
{
	int64_t size = 0;

	if (!get_uint32_property(env, object, "kind", &out->kind) ||
	    !get_uint32_property(env, object, "flags", &out->flags) ||
	    !get_bytes_property(env, memory, object, "source", &out->source) ||
	    !get_bytes_property(env, memory, object, "target", &out->target) ||
	    !get_int64_property(env, object, "sizeBytes", &size))
		return 0;
	if (size < 0) {
		throw_invalid(env, "mounts: size", "must not be negative");
		return 0;
	}
	out->size_bytes = (uint64_t)size;
	return 1;
}

int get_mounts(napi_env env, scratch *memory, napi_value object, msb_sandbox_options *out)
{
	uint32_t count;
	msb_mount *mounts;
	napi_value array, value;
	int present;

	if (!get_array_property(env, object, "mounts", &array, &count, &present))
		return 0;
	if (!present || count == 0)
		return 1;
	mounts = scratch_alloc(memory, (size_t)count * sizeof *mounts);
	if (!mounts) {
		throw_no_memory(env);
		return 0;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (napi_get_element(env, array, i, &value) != napi_ok || !get_mount(env, memory, value, &mounts[i]))
			return 0;
	}
	out->mounts = mounts;
	out->mounts_count = count;
	out->mount_size = (uint32_t)sizeof *mounts;
	return 1;
}
