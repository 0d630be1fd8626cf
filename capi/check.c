#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

msb_result msbc_fail(msb_error *err, msb_result code, const char *format, ...)
{
	va_list args;

	err->code = code;
	err->sys_errno = 0;
	err->stage = MSB_STAGE_ARGUMENT;
	va_start(args, format);
	vsnprintf(err->message, sizeof err->message, format, args);
	va_end(args);
	return code;
}

/*
 * All fields but pairs of 32 bits are as wide as a pointer, so a size that is
 * a multiple of that never cuts one in two.
 */
static msb_result check_size(msb_error *err, const char *what, uint32_t size, size_t least)
{
	if (size < least)
		return msbc_fail(err, MSB_E_INVALID, "%s: size is %u, at least %u is needed: use its _INIT macro", what,
		                 (unsigned)size, (unsigned)least);
	if (size > MSBC_MAX_SIZE || size % sizeof(void *) != 0)
		return msbc_fail(err, MSB_E_INVALID, "%s: size %u is not the size of any version: use its _INIT macro",
		                 what, (unsigned)size);
	return MSB_OK;
}

msb_result msbc_input(msb_error *err, const char *what, const void *in, size_t least, void *own, size_t full)
{
	const unsigned char *bytes = in;
	uint32_t size;
	size_t i;

	if (in == NULL)
		return msbc_fail(err, MSB_E_INVALID, "%s is NULL", what);
	memcpy(&size, in, sizeof size);
	if (check_size(err, what, size, least) != MSB_OK)
		return MSB_E_INVALID;
	for (i = full; i < size; i++) {
		if (bytes[i] != 0)
			return msbc_fail(err, MSB_E_TOO_NEW,
			                 "%s: byte %u belongs to a field of a later version: update the library", what,
			                 (unsigned)i);
	}
	memset(own, 0, full);
	memcpy(own, in, size < full ? size : full);
	return MSB_OK;
}

msb_result msbc_output(msb_error *err, const char *what, const void *out)
{
	uint32_t size;

	if (out == NULL)
		return MSB_OK;
	memcpy(&size, out, sizeof size);
	return check_size(err, what, size, 8);
}

void msbc_deliver(void *out, const void *own, size_t full, size_t text)
{
	uint32_t size;

	if (out == NULL)
		return;
	memcpy(&size, out, sizeof size);
	if (size > full)
		size = (uint32_t)full;
	memcpy((char *)out + sizeof size, (const char *)own + sizeof size, size - sizeof size);
	if (size > text && size < full)
		((char *)out)[size - 1] = '\0';
}

msb_result msbc_flags(msb_error *err, const char *what, uint32_t flags, uint32_t known)
{
	if ((flags & ~known) != 0)
		return msbc_fail(err, MSB_E_TOO_NEW, "%s: unknown bits 0x%x: update the library", what,
		                 (unsigned)(flags & ~known));
	return MSB_OK;
}

msb_result msbc_text(msb_error *err, const char *what, const char *text, size_t most)
{
	if (text == NULL)
		return MSB_OK;
	if (text[0] == '\0')
		return msbc_fail(err, MSB_E_INVALID, "%s is empty: use NULL for the default", what);
	if (strnlen(text, most + 1) > most)
		return msbc_fail(err, MSB_E_INVALID, "%s is longer than %u bytes", what, (unsigned)most);
	return MSB_OK;
}

msb_result msbc_settle(msb_error *err, const msb_error *own, msb_result result)
{
	size_t room, length;

	if (err == NULL || err->size < offsetof(msb_error, message))
		return result;
	room = err->size < sizeof *err ? err->size : sizeof *err;
	room -= offsetof(msb_error, message);
	err->code = result;
	err->sys_errno = result == MSB_OK ? 0 : own->sys_errno;
	err->stage = result == MSB_OK ? MSB_STAGE_NONE : own->stage;
	if (room == 0)
		return result;
	length = result == MSB_OK ? 0 : strnlen(own->message, sizeof own->message - 1);
	if (length >= room) {
		/* Never half a UTF-8 character. */
		length = room - 1;
		while (length > 0 && ((unsigned char)own->message[length] & 0xc0) == 0x80)
			length--;
	}
	memcpy(err->message, own->message, length);
	err->message[length] = '\0';
	return result;
}

const char *msbc_result_name(msb_result result)
{
	static const struct {
		msb_result result;
		const char *name;
	} names[] = {
#define NAME(result) { result, #result }
		NAME(MSB_OK), NAME(MSB_E_INVALID), NAME(MSB_E_HANDLE), NAME(MSB_E_STATE), NAME(MSB_E_TIMED_OUT),
		NAME(MSB_E_CANCELED), NAME(MSB_E_CLOSED), NAME(MSB_E_NOT_FOUND), NAME(MSB_E_EXISTS),
		NAME(MSB_E_PERMISSION), NAME(MSB_E_UNSUPPORTED), NAME(MSB_E_LIMIT), NAME(MSB_E_TOO_NEW),
		NAME(MSB_E_SETUP), NAME(MSB_E_EXEC), NAME(MSB_E_IO), NAME(MSB_E_FORKED), NAME(MSB_E_LAUNCH),
		NAME(MSB_E_BOOT), NAME(MSB_E_DONE), NAME(MSB_E_GONE), NAME(MSB_E_BUFFER), NAME(MSB_E_INTERNAL),
#undef NAME
	};
	size_t i;

	for (i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (names[i].result == result)
			return names[i].name;
	}
	return "MSB_E_?";
}
