package store

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// killed reports whether a process has a SIGKILL before it, or dies of one: on a busy
// machine it may look alive for a while.
func killed(pid int) bool {
	const kill = 1 << (9 - 1) // SIGKILL in a mask of signals
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(data), "\n") {
		name, value, _ := strings.Cut(line, ":")
		if name != "SigPnd" && name != "ShdPnd" {
			continue
		}
		if mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64); err == nil && mask&kill != 0 {
			return true
		}
	}
	data, err = os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if err != nil || len(fields) < 7 {
		return false
	}
	const exiting, signaled = 0x4, 0x400 // PF_EXITING, PF_SIGNALED
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return err == nil && flags&(exiting|signaled) != 0
}
