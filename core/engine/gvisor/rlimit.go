package gvisor

import (
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// rlimits are the resources that can be limited, by Linux's numbers, and their
// names. gVisor enforces all of them but RSS, CORE and RTPRIO: Linux does not
// enforce the first either, and there are neither core files nor real-time
// priorities in gVisor. It lets nobody change the others.
var rlimits = map[uint32]string{
	unix.RLIMIT_CPU: "cpu", unix.RLIMIT_FSIZE: "fsize", unix.RLIMIT_DATA: "data", unix.RLIMIT_STACK: "stack",
	unix.RLIMIT_CORE: "core", unix.RLIMIT_RSS: "rss", unix.RLIMIT_NPROC: "nproc", unix.RLIMIT_NOFILE: "nofile",
	unix.RLIMIT_MEMLOCK: "memlock", unix.RLIMIT_AS: "as", unix.RLIMIT_RTPRIO: "rtprio",
}

func checkRlimits(list []engine.Rlimit) error {
	for _, r := range list {
		if _, ok := rlimits[r.Resource]; !ok {
			return fault.New(fault.Unsupported, fault.StageExec, "resource limit %d: gvisor cannot change it", r.Resource)
		}
		if r.Soft > r.Hard {
			return fault.New(fault.Invalid, fault.StageExec, "resource limit %s: soft limit %d is above the hard limit %d",
				rlimits[r.Resource], r.Soft, r.Hard)
		}
	}
	return nil
}

// rlimitRefused is the error of a limit that the guest's kernel did not take.
func rlimitRefused(r engine.Rlimit, errno unix.Errno) error {
	hint := ""
	if errno == unix.EPERM {
		hint = "; a hard limit can only be lowered"
	}
	e := fault.New(fault.Exec, fault.StageExec, "set resource limit %s to %d:%d: %s%s",
		rlimits[r.Resource], r.Soft, r.Hard, errno.Error(), hint)
	e.Errno = errno
	return e
}
