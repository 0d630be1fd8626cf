/*
 * JavaScript values to C ones. Text may be a string (taken as UTF-8) or a
 * Uint8Array (taken as it is); neither may hold a NUL byte.
 * SPDX-License-Identifier: Apache-2.0
 */
#include "addon.h"

#include <stdlib.h>
#include <string.h>

struct scratch_block {
	struct scratch_block *next;
	void *data[]; /* aligned for the pointers and bytes that are kept here */
};

void *scratch_alloc(scratch *memory, size_t size)
{
	struct scratch_block *block = calloc(1, sizeof *block + size);

	if (!block)
		return NULL;
	block->next = memory->blocks;
	memory->blocks = block;
	return block->data;
}

void scratch_free(scratch *memory)
{
	while (memory->blocks) {
		struct scratch_block *block = memory->blocks;

		memory->blocks = block->next;
		free(block);
	}
}

int get_args(napi_env env, napi_callback_info info, napi_value *args, size_t count)
{
	/* Missing arguments are filled in with undefined by Node-API. */
	return napi_get_cb_info(env, info, &count, args, NULL, NULL) == napi_ok;
}

int get_handle(napi_env env, napi_value value, msb_handle *out)
{
	double d;

	if (napi_get_value_double(env, value, &d) != napi_ok) {
		napi_throw_type_error(env, NULL, "handle must be a number");
		return 0;
	}
	/* What cannot be a handle must not become one, nor 0, which close accepts. NaN compares false. */
	*out = d >= 0 && d < 9007199254740992.0 ? (msb_handle)d : UINT64_MAX;
	if ((double)*out != d)
		*out = UINT64_MAX;
	return 1;
}

int get_int64(napi_env env, napi_value value, const char *what, int64_t *out)
{
	double d;

	if (napi_get_value_double(env, value, &d) != napi_ok ||
	    !(d >= -9007199254740991.0 && d <= 9007199254740991.0) || (double)(int64_t)d != d) {
		throw_invalid(env, what, "must be a safe integer");
		return 0;
	}
	*out = (int64_t)d;
	return 1;
}

static int copy_typed_array(napi_env env, scratch *memory, napi_value value, char **text, size_t *length)
{
	napi_typedarray_type type;
	void *data;

	if (napi_get_typedarray_info(env, value, &type, length, &data, NULL, NULL) != napi_ok ||
	    type != napi_uint8_array)
		return 0;
	*text = scratch_alloc(memory, *length + 1);
	if (*text && *length)
		memcpy(*text, data, *length);
	return 1;
}

static int copy_string(napi_env env, scratch *memory, napi_value value, char **text, size_t *length)
{
	if (napi_get_value_string_utf8(env, value, NULL, 0, length) != napi_ok)
		return 0;
	*text = scratch_alloc(memory, *length + 1);
	return !*text || napi_get_value_string_utf8(env, value, *text, *length + 1, length) == napi_ok;
}

int get_bytes(napi_env env, scratch *memory, napi_value value, const char *what, const char **out)
{
	bool is_typed_array = false;
	size_t length;
	char *text;
	int known;

	napi_is_typedarray(env, value, &is_typed_array);
	known = is_typed_array ? copy_typed_array(env, memory, value, &text, &length)
	                       : copy_string(env, memory, value, &text, &length);
	if (!known) {
		throw_invalid(env, what, "must be a string or a Uint8Array");
		return 0;
	}
	if (!text) {
		throw_no_memory(env);
		return 0;
	}
	if (memchr(text, 0, length)) {
		throw_invalid(env, what, "must not hold a NUL byte");
		return 0;
	}
	*out = text;
	return 1;
}

int get_property(napi_env env, napi_value object, const char *key, napi_value *out, int *present)
{
	napi_valuetype type;

	if (napi_get_named_property(env, object, key, out) != napi_ok ||
	    napi_typeof(env, *out, &type) != napi_ok) {
		napi_throw_type_error(env, NULL, "options must be an object");
		return 0;
	}
	*present = type != napi_undefined;
	return 1;
}

int get_int64_property(napi_env env, napi_value object, const char *key, int64_t *out)
{
	napi_value value;
	int present;

	if (!get_property(env, object, key, &value, &present))
		return 0;
	return !present || get_int64(env, value, key, out);
}

int get_uint32_property(napi_env env, napi_value object, const char *key, uint32_t *out)
{
	int64_t value = *out;

	if (!get_int64_property(env, object, key, &value))
		return 0;
	if (value < 0 || value > UINT32_MAX) {
		throw_invalid(env, key, "must be 0 to 4294967295");
		return 0;
	}
	*out = (uint32_t)value;
	return 1;
}

int get_array_property(napi_env env, napi_value object, const char *key, napi_value *array, uint32_t *length,
                       int *present)
{
	if (!get_property(env, object, key, array, present))
		return 0;
	if (!*present || napi_get_array_length(env, *array, length) == napi_ok)
		return 1;
	throw_invalid(env, key, "must be an array");
	return 0;
}

int get_int64_list_property(napi_env env, scratch *memory, napi_value object, const char *key, int64_t **out,
                            uint32_t *count)
{
	int64_t *list;
	uint32_t length;
	napi_value array, value;
	int present;

	if (!get_array_property(env, object, key, &array, &length, &present))
		return 0;
	if (!present)
		return 1;
	list = scratch_alloc(memory, (size_t)length * sizeof *list);
	if (!list) {
		throw_no_memory(env);
		return 0;
	}
	for (uint32_t i = 0; i < length; i++) {
		if (napi_get_element(env, array, i, &value) != napi_ok || !get_int64(env, value, key, &list[i]))
			return 0;
	}
	*out = list;
	*count = length;
	return 1;
}

int get_bytes_property(napi_env env, scratch *memory, napi_value object, const char *key, const char **out)
{
	napi_value value;
	int present;

	if (!get_property(env, object, key, &value, &present))
		return 0;
	return !present || get_bytes(env, memory, value, key, out);
}

int get_bytes_list_property(napi_env env, scratch *memory, napi_value object, const char *key,
                            const char *const **out)
{
	const char **list;
	uint32_t length;
	napi_value array, value;
	int present;

	if (!get_array_property(env, object, key, &array, &length, &present))
		return 0;
	if (!present)
		return 1;
	list = scratch_alloc(memory, ((size_t)length + 1) * sizeof *list);
	if (!list) {
		throw_no_memory(env);
		return 0;
	}
	for (uint32_t i = 0; i < length; i++) {
		if (napi_get_element(env, array, i, &value) != napi_ok ||
		    !get_bytes(env, memory, value, key, &list[i]))
			return 0;
	}
	*out = list;
	return 1;
}
