package process

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// StartTime returns when a process started, in clock ticks since boot: field 22 of
// proc(5). The error is os.ErrProcessDone when it has ended, also when it waits to
// be reaped. It reads with plain system calls: snapshots call it by the hundred.
func StartTime(pid int) (uint64, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	// Z is also a first thread that ended before the others, whose process keeps its
	// files and locks: num_threads, field 20, tells it from one that is to be reaped.
	if state := fields[0][0]; state == 'X' || state == 'Z' && len(fields[17]) == 1 && fields[17][0] <= '1' {
		return 0, os.ErrProcessDone
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}

// Exiting reports whether a process has begun to exit, or ended: one that is killed
// closes its files, and only later tells its pidfd.
func Exiting(pid int) bool {
	const exiting = 1 << 2 // PF_EXITING of <linux/sched.h>, in field 9
	fields, err := stat(pid)
	if err != nil {
		return err == os.ErrProcessDone
	}
	flags, err := strconv.ParseUint(string(fields[6]), 10, 64)
	return err == nil && flags&exiting != 0
}

// stat returns the fields of /proc/PID/stat from the third on.
func stat(pid int) ([][]byte, error) {
	// The dot: qemu's user emulation makes this file up for its own process, but only
	// under its plain name.
	path := "/proc/./" + strconv.Itoa(pid) + "/stat"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, ended(path, err)
	}
	defer unix.Close(fd)
	var buf [1024]byte
	n, err := unix.Read(fd, buf[:])
	if err != nil {
		return nil, ended(path, err)
	}
	// The command may hold spaces and parentheses; the fields start after the last ')'.
	i := bytes.LastIndexByte(buf[:n], ')')
	fields := bytes.Fields(buf[max(i+1, 0):n])
	if i < 0 || len(fields) < 20 {
		return nil, fmt.Errorf("malformed %s", path)
	}
	return fields, nil
}

func ended(path string, err error) error {
	if err == unix.ENOENT || err == unix.ESRCH {
		return os.ErrProcessDone
	}
	return &os.PathError{Op: "read", Path: path, Err: err}
}
