package gvisor

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// killChildren kills the sentry and gofer of machine id among this process's
// children. A child's pid cannot be reused before we have waited for it.
func killChildren(id string) {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		data, err := os.ReadFile(list)
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(field)
			if err == nil && isOurs(pid, id) {
				unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
}

func isOurs(pid int, id string) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	if err != nil {
		return false
	}
	args := strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
	return (args[0] == sentryName || args[0] == goferName) && args[len(args)-1] == id
}
