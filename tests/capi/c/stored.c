/* Sandboxes whose configuration outlives them, and the list of everything. */
#include "test.h"

#include <unistd.h>

static uint32_t orphans(void)
{
	char text[4096];
	msb_error err = MSB_ERROR_INIT;
	uint32_t length, lost, exact;

	CHECK_OK(msb_audit(NULL, text, sizeof text, &length, &lost, &err), &err);
	CHECK_INT(strlen(text), length);
	if (length > 0) { /* one byte less than needed: nothing is copied */
		text[0] = '#';
		CHECK_RESULT(msb_audit(NULL, text, length, &exact, NULL, &err), MSB_E_BUFFER, &err);
		CHECK(text[0] == '#');
	}
	return lost;
}

REAL(stored_sandbox)
{
	static const char *const labels[] = {"a=1", "b=\xc3\xa9", NULL}, *const other[] = {"a=2", NULL};
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT, again = MSB_SANDBOX_OPTIONS_INIT;
	msb_list_options lo = MSB_LIST_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_sandbox_entry entry;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s, p;
	uint32_t count;

	so.name = again.name = "kept";
	so.flags = MSB_CREATE_STORED;
	so.memory_bytes = 256u << 20;
	so.labels = labels;
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_RESULT(msb_sandbox_remove("kept", NULL, &err), MSB_E_STATE, &err);
	CHECK_RESULT(msb_sandbox_start(&again, &p, &err), MSB_E_EXISTS, &err);
	close_and_wait(s);

	entry.size = sizeof entry;
	CHECK_OK(msb_sandbox_list(NULL, NULL, 0, &count, &err), &err);
	CHECK_INT(count, 0);
	lo.flags = MSB_LIST_STOPPED;
	lo.labels = labels;
	CHECK_OK(msb_sandbox_list(&lo, &entry, 1, &count, &err), &err);
	CHECK_INT(count, 1);
	CHECK_TEXT(entry.name, "kept");
	CHECK_TEXT(entry.labels, "a=1\nb=\xc3\xa9");
	CHECK_INT(entry.state, MSB_STATE_STOPPED);
	CHECK_INT(entry.last_cause, MSB_CAUSE_STOPPED);
	CHECK_INT(entry.pid, 0);
	CHECK((entry.flags & MSB_INFO_STORED) != 0);
	lo.labels = other;
	CHECK_OK(msb_sandbox_list(&lo, &entry, 1, &count, &err), &err);
	CHECK_INT(count, 0);

	again.memory_bytes = 128u << 20; /* is the stored configuration's to say */
	CHECK_RESULT(msb_sandbox_start(&again, &s, &err), MSB_E_INVALID, &err);
	again.memory_bytes = 0;
	CHECK_OK(msb_sandbox_start(&again, &s, &err), &err);
	CHECK_OK(msb_sandbox_info_get(s, &info, &err), &err);
	CHECK_INT(info.memory_bytes, 256u << 20);
	p = start_shell(s, "exit 3", MSB_STDIO_NULL);
	expect_exit(p, 3);
	CHECK_INT(msb_close(p), MSB_OK);
	CHECK_INT(orphans(), 0);
	close_and_wait(s);
	CHECK_OK(msb_sandbox_remove("kept", NULL, &err), &err);
	CHECK_RESULT(msb_sandbox_remove("kept", NULL, &err), MSB_E_NOT_FOUND, &err);
	CHECK_RESULT(msb_sandbox_start(&again, &s, &err), MSB_E_NOT_FOUND, &err);
	CHECK_INT(orphans(), 0);
}

REAL(replaced_sandbox)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle first, second;
	int32_t old, pid;

	so.name = "one";
	CHECK_OK(msb_sandbox_create(&so, &first, &err), &err);
	so.flags = MSB_CREATE_REPLACE;
	so.replace_grace_ms = -1;
	CHECK_OK(msb_sandbox_create(&so, &second, &err), &err);
	CHECK_OK(msb_wait(first, 20000, &outcome, &err), &err);
	CHECK_OK(msb_sandbox_pid(first, &old, &err), &err);
	CHECK_OK(msb_sandbox_pid(second, &pid, &err), &err);
	CHECK(old != pid);
	CHECK_INT(msb_close(first), MSB_OK);
	close_and_wait(second);
}

REAL(lifetimes)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_outcome outcome = MSB_OUTCOME_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s;

	so.max_duration_ms = 300;
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_OK(msb_wait(s, 20000, &outcome, &err), &err);
	CHECK_INT(outcome.cause, MSB_CAUSE_MAX_DURATION);
	CHECK_INT(msb_close(s), MSB_OK);
	so.max_duration_ms = 0;
	so.idle_timeout_ms = 300;
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_OK(msb_wait(s, 20000, &outcome, &err), &err);
	CHECK_INT(outcome.cause, MSB_CAUSE_IDLE_TIMEOUT);
	CHECK_INT(msb_close(s), MSB_OK);
}

REAL(detached_sandbox)
{
	msb_sandbox_options so = MSB_SANDBOX_OPTIONS_INIT;
	msb_sandbox_info info = MSB_SANDBOX_INFO_INIT;
	msb_error err = MSB_ERROR_INIT;
	msb_handle s;

	so.name = "free";
	so.flags = MSB_CREATE_DETACHED;
	CHECK_OK(msb_sandbox_create(&so, &s, &err), &err);
	CHECK_INT(msb_close(s), MSB_OK);
	CHECK_OK(msb_sandbox_open("free", NULL, &s, &err), &err);
	CHECK_OK(msb_sandbox_info_get(s, &info, &err), &err);
	CHECK_INT(info.flags & MSB_INFO_ATTACHED, 0);
	CHECK_OK(msb_kill(s, 9, &err), &err);
	CHECK_OK(msb_wait(s, 20000, NULL, &err), &err);
	CHECK_INT(msb_close(s), MSB_OK);
	CHECK_INT(orphans(), 0); /* the sweep that an audit begins with clears up after the kill */
}
