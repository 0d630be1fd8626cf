/* Programs with a terminal. */
#include "test.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

static msb_result start(msb_handle s, const char *script, uint32_t rows, uint32_t cols, msb_handle *out, msb_error *err)
{
	const char *argv[] = {"sh", "-c", script, NULL};
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	int i;

	po.argv = argv;
	po.rows = rows;
	po.cols = cols;
	for (i = 0; i < 3; i++)
		po.stdio[i].kind = MSB_STDIO_PTY;
	return msb_process_start(s, &po, out, err);
}

/* Reads until the text is there, or the terminal ends. */
static void shows(int master, const char *want)
{
	static char text[4096];
	size_t length = 0;
	ssize_t n;

	text[0] = '\0';
	while (strstr(text, want) == NULL && length < sizeof text - 1) {
		wait_readable(master);
		n = read(master, text + length, sizeof text - 1 - length);
		if (n <= 0)
			break;
		length += (size_t)n;
		text[length] = '\0';
	}
	if (strstr(text, want) == NULL) {
		fprintf(stderr, "the terminal does not show \"%s\" but \"%s\"\n", want, text);
		exit(1);
	}
}

TEST(terminal_arguments)
{
	const char *argv[] = {"true", NULL};
	msb_process_options po = MSB_PROCESS_OPTIONS_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s = starting_sandbox(), plain = starting_process(s), p = 1;
	int i;

	po.argv = argv;
	for (i = 0; i < 3; i++) {
		po.stdio[i].kind = MSB_STDIO_PTY;
		if (i < 2) {
			CHECK_RESULT(msb_process_start(s, &po, &p, &err), MSB_E_INVALID, &err);
			CHECK(strstr(err.message, "one terminal") != NULL);
		}
	}
	CHECK_INT(p, 0);
	po.stdio[1].fd = 1;
	CHECK_RESULT(msb_process_start(s, &po, &p, &err), MSB_E_INVALID, &err);
	po.stdio[1].fd = 0;
	po.rows = 65536;
	CHECK_RESULT(msb_process_start(s, &po, &p, &err), MSB_E_INVALID, &err);
	po.rows = 24;
	po.cols = UINT32_MAX;
	CHECK_RESULT(msb_process_start(s, &po, &p, &err), MSB_E_INVALID, &err);
	po.cols = 0;
	for (i = 0; i < 3; i++)
		po.stdio[i].kind = MSB_STDIO_NULL;
	CHECK_RESULT(msb_process_start(s, &po, &p, &err), MSB_E_INVALID, &err);
	CHECK(strstr(err.message, "MSB_STDIO_PTY") != NULL);

	CHECK_RESULT(msb_process_resize(plain, 24, 80, &err), MSB_E_STATE, &err);
	CHECK_RESULT(msb_process_resize(plain, 0, 80, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_process_resize(plain, 24, 65536, &err), MSB_E_INVALID, &err);
	CHECK_RESULT(msb_process_resize(s, 24, 80, &err), MSB_E_HANDLE, &err);
	CHECK_RESULT(msb_process_resize(0, 24, 80, &err), MSB_E_HANDLE, &err);
	CHECK_INT(msb_close(plain), MSB_OK);
	CHECK_INT(msb_close(s), MSB_OK);
}

REAL(terminal)
{
	msb_error err = MSB_ERROR_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_handle s = running_sandbox(), p;
	struct winsize size;
	msb_os_fd master, again;

	CHECK_OK(start(s, "test -t 0 && test -t 1 && test -t 2 && echo all; trap 'stty size; exit 6' INT; "
	                  "trap 'stty size' WINCH; while :; do sleep 0.05; done", 0, 132, &p, &err), &err);
	CHECK_OK(msb_process_stdio(p, 1, &master, &err), &err);
	CHECK_RESULT(msb_process_stdio(p, 0, &again, &err), MSB_E_STATE, &err);
	CHECK_INT(fcntl(master, F_GETFD), FD_CLOEXEC);
	CHECK_INT(fcntl(master, F_GETFL) & O_NONBLOCK, 0);
	CHECK_INT(ioctl(master, TIOCGWINSZ, &size), 0);
	CHECK_INT(size.ws_row, 24);
	CHECK_INT(size.ws_col, 132);
	shows(master, "all\r\n");
	CHECK_OK(msb_process_resize(p, 40, 100, &err), &err);
	shows(master, "40 100\r\n");
	CHECK_INT(ioctl(master, TIOCGWINSZ, &size), 0);
	CHECK_INT(size.ws_row, 40);
	CHECK_INT(write(master, "\003", 1), 1);
	shows(master, "40 100\r\n");
	expect_exit(p, 6);
	CHECK_INT(read(master, &size, 1), -1);
	CHECK_INT(errno, EIO);
	close(master);

	/* Closing the master hangs up, the program's handle stays. */
	CHECK_OK(start(s, "echo up; exec sleep 1000", 0, 0, &p, &err), &err);
	CHECK_OK(msb_process_stdio(p, 0, &master, &err), &err);
	shows(master, "up\r\n");
	close(master);
	CHECK_OK(msb_wait(p, 20000, &outcome, &err), &err);
	CHECK_INT(outcome.signal, 1);
	CHECK_RESULT(msb_process_resize(p, 24, 80, &err), MSB_E_DONE, &err);
	CHECK_INT(msb_close(p), MSB_OK);
	CHECK_RESULT(msb_process_resize(p, 24, 80, &err), MSB_E_HANDLE, &err);
	close_and_wait(s);
}
