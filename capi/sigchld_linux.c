/*
 * Go unblocks SIGCHLD on its threads, and the kernel sends it first to the
 * thread that forked the child: at the exit of a supervisor the host's handler
 * would run there, on a goroutine's stack of some kilobytes when it was
 * installed without SA_ONSTACK, as libuv's is. Go has no setting for it; which
 * signals it unblocks stands in a table of names and flags that it reads each
 * time it starts a thread. So the entry is looked up by its name, before the
 * runtime starts, and the flag is cleared. A Go with another table is left as
 * it is, and the test of the thread's masks then fails.
 */
#include "host.h"

#include <elf.h>
#include <link.h>
#include <stdint.h>
#include <string.h>

/* An entry of runtime.sigtable. */
struct go_signal {
	int32_t flags;
	const char *text;
	intptr_t length;
};

#define GO_SIG_UNBLOCK 0x80  /* runtime._SigUnblock */
#define GO_SIG_FLAGS   0x1ff /* all flags of Go 1.26 */

/* The start of this library in memory; made by the linker. */
extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

static int is_sigchld(const struct go_signal *entry, const char *image, const char *image_end)
{
	static const char text[] = "SIGCHLD: child status has changed";
	const intptr_t length = sizeof text - 1;

	return entry->length == length && (entry->flags & ~GO_SIG_FLAGS) == 0 && entry->text >= image &&
	       entry->text + length <= image_end && memcmp(entry->text, text, (size_t)length) == 0;
}

void msbc_keep_sigchld_blocked(void)
{
	const char *image = (const char *)&__ehdr_start;
	const ElfW(Phdr) *header = (const void *)(image + __ehdr_start.e_phoff);
	const char *end = image;
	ElfW(Addr) lowest = 0;
	int i, found = 0;

	for (i = 0; i < __ehdr_start.e_phnum; i++) {
		if (header[i].p_type != PT_LOAD)
			continue;
		if (!found++)
			lowest = header[i].p_vaddr;
		end = image + (header[i].p_vaddr - lowest) + header[i].p_memsz;
	}
	for (i = 0; i < __ehdr_start.e_phnum; i++) {
		char *at = (char *)image + (header[i].p_vaddr - lowest);
		char *segment_end = at + header[i].p_filesz;

		if (header[i].p_type != PT_LOAD || (header[i].p_flags & PF_W) == 0)
			continue;
		at += -(uintptr_t)at % sizeof(void *);
		for (; at + sizeof(struct go_signal) <= segment_end; at += sizeof(void *)) {
			struct go_signal *entry = (void *)at;

			if (is_sigchld(entry, image, end)) {
				entry->flags &= ~GO_SIG_UNBLOCK;
				return;
			}
		}
	}
}
