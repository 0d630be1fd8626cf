/*
 * What the shim needs of Windows. There is no fork, no signal and no limit of
 * descriptors to be kept as it was.
 */
#include "host.h"

#include <windows.h>

#include <string.h>

static volatile int alive_flag = 1;
volatile int *msbc_alive = &alive_flag;

#define DIR_BYTES 4096

/* In UTF-8. Two threads that look at once write the same bytes. */
static char library_dir[DIR_BYTES];

const char *msbc_library_dir(void)
{
	wchar_t wide[DIR_BYTES];
	char path[DIR_BYTES];
	HMODULE self;
	DWORD length;
	char *slash;

	if (library_dir[0] != '\0')
		return library_dir;
	if (!GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT,
	                        (LPCWSTR)(const void *)library_dir, &self))
		return "";
	length = GetModuleFileNameW(self, wide, DIR_BYTES);
	if (length == 0 || length == DIR_BYTES)
		return "";
	if (WideCharToMultiByte(CP_UTF8, 0, wide, -1, path, sizeof path, NULL, NULL) == 0)
		return "";
	slash = strrchr(path, '\\');
	if (slash == NULL)
		return "";
	*slash = '\0';
	memcpy(library_dir, path, strlen(path) + 1);
	return library_dir;
}
