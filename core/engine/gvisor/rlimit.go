package gvisor

import (
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// rlimits are the resources that can be limited, by Linux's numbers. gVisor enforces all of them but RSS, CORE and RTPRIO: Linux does not
// enforce the first either, and there are neither core files nor real-time
// priorities in gVisor. It lets nobody change the others.
var rlimits = map[uint32]bool{
	unix.RLIMIT_CPU: true, unix.RLIMIT_FSIZE: true, unix.RLIMIT_DATA: true, unix.RLIMIT_STACK: true,
	unix.RLIMIT_CORE: true, unix.RLIMIT_RSS: true, unix.RLIMIT_NPROC: true, unix.RLIMIT_NOFILE: true,
	unix.RLIMIT_MEMLOCK: true, unix.RLIMIT_AS: true, unix.RLIMIT_RTPRIO: true,
}

func checkRlimits(list []engine.Rlimit) error {
	for _, r := range list {
		if !rlimits[r.Resource] {
			return fault.New(fault.Unsupported, fault.StageExec, "resource limit %s: gvisor cannot change it", r.Name())
		}
	}
	return nil
}
