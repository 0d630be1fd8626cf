package metrics

import (
	"bytes"
	"hash/fnv"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Process names a process so that a later one with the same id is not taken for
// it. A registry belongs to the processes of one PID namespace: those of another
// seem dead.
type Process struct {
	Pid   int    `json:"pid"`
	Start uint64 `json:"start_ticks"` // clock ticks since boot, field 22 of proc(5)
}

// Self is the calling process.
func Self() (Process, error) {
	pid := os.Getpid()
	start, err := startTime(pid)
	return Process{Pid: pid, Start: start}, err
}

// Alive reports whether the process still runs; a zombie does not.
func (p Process) Alive() bool {
	if p.Pid <= 0 {
		return false
	}
	start, err := startTime(p.Pid)
	// Out of descriptors or memory is no proof of death.
	if err == unix.ENOENT || err == unix.ESRCH || err == os.ErrProcessDone {
		return false
	}
	return err != nil || start == p.Start
}

// startTime fails with ENOENT, ESRCH or os.ErrProcessDone when the process is gone.
// It reads with plain system calls: a snapshot calls it for each slot.
func startTime(pid int) (uint64, error) {
	fd, err := unix.Open("/proc/"+strconv.Itoa(pid)+"/stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	var buf [1024]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return 0, err
	}
	// The command may hold spaces and parentheses; the fields start after the last ')'.
	i := bytes.LastIndexByte(buf[:n], ')')
	fields := bytes.Fields(buf[max(i+1, 0):n])
	if i < 0 || len(fields) < 20 {
		return 0, unix.EIO
	}
	// Z is also a first thread that ended before the others: num_threads, field 20,
	// tells that living process from one that waits to be reaped.
	if state := fields[0][0]; state == 'X' || state == 'Z' && len(fields[17]) == 1 && fields[17][0] <= '1' {
		return 0, os.ErrProcessDone
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

// bootHash tells this boot of the kernel from others: process ids and start times
// mean something only within one.
var bootHash = sync.OnceValue(func() uint64 {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	h := fnv.New64a()
	h.Write(bytes.TrimSpace(id))
	return h.Sum64()
})
