/* Mounts of a sandbox. */
#include "test.h"

#include <string.h>

static msb_result create(const msb_mount *mounts, uint32_t count, uint32_t size, msb_handle *out, msb_error *err)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;

	so.mounts = mounts;
	so.mounts_count = count;
	so.mount_size = size;
	return msb_sandbox_create(&so, out, err);
}

TEST(mount_arguments)
{
	const uint32_t size = (uint32_t)sizeof(msb_mount);
	msb_mount m = {MSB_MOUNT_BIND, 0, "/nowhere", "/data", 0, 0};
	msb_error err = MSB_ERROR_INIT;
	msb_handle s = 1;

	CHECK_RESULT(create(&m, 1, size, &s, &err), MSB_E_NOT_FOUND, &err);
	CHECK_INT(s, 0);
	CHECK_INT(err.stage, MSB_STAGE_ROOT);
	CHECK_RESULT(create(NULL, 1, size, &s, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(create(&m, 1, 0, &s, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(create(&m, 1, size - 8, &s, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(create(&m, 1, size + 4, &s, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(create(&m, 1, 1u << 20, &s, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(create(&m, 65, size, &s, &err), MSB_E_LIMIT, &err);
	m.flags = 32;
	CHECK_RESULT(create(&m, 1, size, &s, &err), MSB_E_TOO_NEW, &err);
	m.flags = 0;
	m.kind = 7;
	CHECK_RESULT(create(&m, 1, size, &s, &err), MSB_E_INVALID, &err);
	m.kind = MSB_MOUNT_BIND;
	m.reserved = 1;
	CHECK_RESULT(create(&m, 1, size, &s, &err), MSB_E_INVALID, &err);
	m.reserved = 0;
	m.target = NULL;
	CHECK_RESULT(create(&m, 1, size, &s, &err), MSB_E_INVALID, &err);
	m.target = "/data";
	m.size_bytes = 1;
	CHECK_RESULT(create(&m, 1, size, &s, &err), MSB_E_INVALID, &err);
}

REAL(mounts)
{
	/* Elements of a caller that knows a later version of the struct. */
	struct later {
		msb_mount mount;
		uint64_t more;
	} list[2];
	msb_error err = MSB_ERROR_INIT;
	msb_handle s = 0, p;
	char dir[] = "/tmp/msb-mounts-XXXXXX", path[64];
	FILE *f;

	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof path, "%s/file", dir);
	f = fopen(path, "w");
	CHECK(f != NULL && fputs("given", f) >= 0 && fclose(f) == 0);
	memset(list, 0, sizeof list);
	list[0].mount.source = dir;
	list[0].mount.target = "/data";
	list[1].mount.kind = MSB_MOUNT_TMPFS;
	list[1].mount.flags = MSB_MOUNT_NOEXEC | MSB_MOUNT_NOSUID | MSB_MOUNT_NODEV;
	list[1].mount.target = "/data/scratch";
	list[1].mount.size_bytes = 4096;
	list[1].more = 1;
	CHECK_RESULT(create(&list[0].mount, 2, sizeof list[0], &s, &err), MSB_E_TOO_NEW, &err);
	list[1].more = 0;
	CHECK_OK(create(&list[0].mount, 2, sizeof list[0], &s, &err), &err);
	memset(list, 0xff, sizeof list); /* inputs were copied */

	p = start_shell(s, "test $(cat /data/file) = given && echo more >>/data/file && : >/data/scratch/x", MSB_STDIO_NULL);
	expect_exit(p, 0);
	p = start_shell(s, "dd if=/dev/zero of=/data/scratch/y bs=4096 count=2", MSB_STDIO_NULL);
	expect_exit(p, 1);
	close_and_wait(s);
	f = fopen(path, "r");
	CHECK(f != NULL && fgets(path, sizeof path, f) != NULL && fclose(f) == 0);
	CHECK_TEXT(path, "givenmore\n");
	snprintf(path, sizeof path, "rm -r %s", dir);
	CHECK_INT(system(path), 0);
}
