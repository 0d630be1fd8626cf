package process

import "github.com/libmicrosandbox/microsandbox/core/winsys"

// StartTime returns when a process was created, in steps of 100 ns since 1601. The
// error is os.ErrProcessDone when it has ended.
func StartTime(pid int) (uint64, error) { return winsys.StartTime(pid) }

// Exiting reports whether a process has begun to exit: nothing tells, before it has
// ended.
func Exiting(pid int) bool { return false }
