package store

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"

	"github.com/libmicrosandbox/microsandbox/core/process"
)

// BootID identifies this boot of the kernel; "" when it cannot be read.
var BootID = sync.OnceValue(func() string {
	data, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data))
})

// Children are a process's direct children. Should a supervisor be killed, the
// engine's processes die with it, and whoever sweeps waits for that.
func Children(pid int) []Process {
	out := []Process{}
	task := fmt.Sprintf("/proc/%d/task", pid)
	threads, _ := os.ReadDir(task)
	for _, t := range threads {
		data, _ := os.ReadFile(task + "/" + t.Name() + "/children")
		for _, field := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil {
				continue
			}
			if p, err := process.Of(pid); err == nil {
				out = append(out, p)
			}
		}
	}
	return out
}
