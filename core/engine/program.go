//go:build linux

package engine

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Check refuses what no engine can start.
func (p Program) Check() error {
	if len(p.Argv) == 0 {
		return fault.New(fault.Invalid, fault.StageExec, "argv is empty")
	}
	if p.Cwd != "" && p.Cwd[0] != '/' {
		return fault.New(fault.Invalid, fault.StageCwd, "working directory %q: the path must be absolute", p.Cwd)
	}
	for _, list := range [][]string{p.Argv, p.Env, {p.Cwd}} {
		for _, s := range list {
			if strings.IndexByte(s, 0) >= 0 {
				return fault.New(fault.Invalid, fault.StageExec, "%q: contains a NUL byte", s)
			}
		}
	}
	for _, r := range p.Rlimits {
		if r.Soft > r.Hard {
			return fault.New(fault.Invalid, fault.StageExec, "resource limit %s: soft limit %d is above the hard limit %d",
				r.Name(), r.Soft, r.Hard)
		}
	}
	return nil
}

var rlimitNames = [...]string{
	unix.RLIMIT_CPU: "cpu", unix.RLIMIT_FSIZE: "fsize", unix.RLIMIT_DATA: "data", unix.RLIMIT_STACK: "stack",
	unix.RLIMIT_CORE: "core", unix.RLIMIT_RSS: "rss", unix.RLIMIT_NPROC: "nproc", unix.RLIMIT_NOFILE: "nofile",
	unix.RLIMIT_MEMLOCK: "memlock", unix.RLIMIT_AS: "as", unix.RLIMIT_LOCKS: "locks",
	unix.RLIMIT_SIGPENDING: "sigpending", unix.RLIMIT_MSGQUEUE: "msgqueue", unix.RLIMIT_NICE: "nice",
	unix.RLIMIT_RTPRIO: "rtprio", unix.RLIMIT_RTTIME: "rttime",
}

// Name is the resource's, or its number where Linux has no such resource.
func (r Rlimit) Name() string {
	if r.Resource < uint32(len(rlimitNames)) {
		return rlimitNames[r.Resource]
	}
	return fmt.Sprint(r.Resource)
}

// RlimitRefused is the error of a limit that the guest's kernel did not take.
func RlimitRefused(r Rlimit, errno syscall.Errno) error {
	hint := ""
	if errno == unix.EPERM {
		hint = "; a hard limit can only be lowered"
	}
	e := fault.New(fault.Exec, fault.StageExec, "set resource limit %s to %d:%d: %s%s",
		r.Name(), r.Soft, r.Hard, errno.Error(), hint)
	e.Errno = errno
	return e
}

// NotStarted is the error of a program that could not be executed: stage is
// fault.StageExec or fault.StageCwd.
func NotStarted(stage fault.Stage, errno syscall.Errno, p Program) error {
	what := fmt.Sprintf("start %q", p.Argv[0])
	if stage == fault.StageCwd {
		what = fmt.Sprintf("change to working directory %q", p.Cwd)
	}
	hint := ""
	switch {
	case stage == fault.StageCwd:
	case errno == unix.ENOENT && !strings.Contains(p.Argv[0], "/"):
		hint = "; it is in no directory of the sandbox's PATH"
	case errno == unix.ENOENT:
		hint = "; it or its interpreter is not in the sandbox's root"
	case errno == unix.ENOEXEC:
		hint = "; it is neither a program for this processor nor a script that starts with #!"
	}
	e := fault.New(fault.Exec, stage, "%s: %s%s", what, errno.Error(), hint)
	e.Errno = errno
	return e
}
