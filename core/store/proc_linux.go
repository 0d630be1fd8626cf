package store

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// StartTime returns when a process started, in clock ticks since boot. With the
// boot id it tells a process from a later one with the same id. A zombie has
// ended: it is an error.
func StartTime(pid int) (uint64, error) {
	start, zombie, err := processStat(pid)
	if err == nil && zombie {
		return 0, fmt.Errorf("process %d: %w", pid, os.ErrProcessDone)
	}
	return start, err
}

// processStat also knows zombies. A zombie may be the first thread only: until the
// others have ended, the process keeps its files, and so its locks.
func processStat(pid int) (start uint64, zombie bool, err error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false, err
	}
	// The command may hold spaces and parentheses; the fields start after the last ')'.
	i := bytes.LastIndexByte(data, ')')
	fields := strings.Fields(string(data[max(i+1, 0):]))
	if i < 0 || len(fields) < 20 {
		return 0, false, fmt.Errorf("malformed /proc/%d/stat", pid)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64) // starttime is field 22 of proc(5)
	return start, fields[0] == "Z" || fields[0] == "X", err
}

// SameProcess reports whether pid is still the process that started then.
func SameProcess(pid int, start uint64) bool {
	now, err := StartTime(pid)
	return err == nil && now == start
}

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
			if start, err := StartTime(pid); err == nil {
				out = append(out, Process{Pid: pid, Start: start})
			}
		}
	}
	return out
}
