/* The tests of microsandbox.dll: `win NAME STATE-DIR` runs one. */
#include "win.h"

#include <stdlib.h>

const char *state_dir;
char self_path[1024];

static const struct {
	const char *name;
	int (*run)(void);
} tests[] = {
	{"library", test_library},
	{"engines", test_engines},
	{"program", test_program},
	{"stdin", test_stdin},
	{"errors", test_errors},
	{"events", test_events},
	{"overlapped", test_overlapped},
	{"pools", test_pools},
	{"kill-tree", test_kill_tree},
	{"kill-sandbox", test_kill_sandbox},
	{"drain", test_drain},
	{"stop", test_stop},
	{"limits", test_limits},
	{"memory", test_memory},
	{"names", test_names},
	{"stored", test_stored},
	{"logs", test_logs},
	{"metrics", test_metrics},
	{"log-handle", test_log_handle},
	{"inheritance", test_inheritance},
	{"launch-errors", test_launch_errors},
	{"owner-killed", test_owner_killed},
	{"supervisor-killed", test_supervisor_killed},
	{"disarmed", test_disarmed},
	{"detached", test_detached},
	{"threads", test_threads},
};

int main(int argc, char **argv)
{
	wchar_t path[1024];
	size_t i;

	setvbuf(stdout, NULL, _IONBF, 0);
	GetModuleFileNameW(NULL, path, 1024);
	WideCharToMultiByte(CP_UTF8, 0, path, -1, self_path, sizeof self_path, NULL, NULL);
	if (argc == 2 && strcmp(argv[1], "list") == 0) {
		for (i = 0; i < sizeof tests / sizeof tests[0]; i++)
			printf("%s\n", tests[i].name);
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "guest") == 0)
		return guest(argv[2]);
	if (argc < 3)
		return 2;
	state_dir = argv[2];
	if (argc == 4 && strcmp(argv[1], "owner") == 0)
		return owner(argv[3]);
	for (i = 0; i < sizeof tests / sizeof tests[0]; i++)
		if (strcmp(tests[i].name, argv[1]) == 0)
			return tests[i].run();
	printf("no test %s\n", argv[1]);
	return 2;
}
