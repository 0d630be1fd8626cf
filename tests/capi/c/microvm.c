/* A sandbox with a kernel of its own: $MICROVM_KERNEL, $MICROVM_ROOT. */
#include "test.h"

#include <string.h>

REAL(microvm)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_os_fd out;
	msb_handle s, p;

	so.engine = MSB_ENGINE_QEMU_TCG;
	CHECK_RESULT(msb_sandbox_create(&so, &s, &err), MSB_E_UNSUPPORTED, &err);
	CHECK(strstr(err.message, "mkfs.erofs") != NULL);
	so.root_kind = MSB_ROOT_EROFS;
	so.root_path = getenv("MICROVM_ROOT");
	so.kernel_path = "/no/such/kernel";
	CHECK_RESULT(msb_sandbox_create(&so, &s, &err), MSB_E_NOT_FOUND, &err);
	so.kernel_path = getenv("MICROVM_KERNEL");
	CHECK(so.root_path != NULL && so.kernel_path != NULL);
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_OK(msb_sandbox_info_get(s, &info, &err), &err);
	CHECK_INT(info.engine, MSB_ENGINE_QEMU_TCG);
	CHECK(strstr(info.receipt, "microVM") != NULL);
	p = start_shell(s, "echo from a microVM; exit 5", MSB_STDIO_PIPE);
	CHECK_OK(msb_process_stdio(p, 1, &out, &err), &err);
	CHECK_TEXT(read_all(out), "from a microVM\n");
	expect_exit(p, 5);
	close_and_wait(s);
}
