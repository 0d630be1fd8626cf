package gvisor

import (
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// startErrors are the errors that starting a program can end in. gVisor reports
// them as text only, with the error's own text at the end.
var startErrors = map[unix.Errno]string{
	unix.ENOENT: "no such file or directory", unix.EACCES: "permission denied", unix.ENOEXEC: "exec format error",
	unix.ENOTDIR: "not a directory", unix.EISDIR: "is a directory", unix.ELOOP: "too many symbolic links encountered",
	unix.ENAMETOOLONG: "file name too long", unix.EPERM: "operation not permitted", unix.E2BIG: "argument list too long",
	unix.ENOMEM: "out of memory", unix.EIO: "I/O error", unix.EINVAL: "invalid argument", unix.ETXTBSY: "text file busy",
	unix.ELIBBAD: "accessing a corrupted shared library", unix.EFAULT: "bad address", unix.EMFILE: "too many open files",
	unix.ENFILE: "file table overflow", unix.EAGAIN: "try again", unix.ENODEV: "no such device", unix.ESTALE: "stale file handle",
}

// cwdText begins what gVisor says about a working directory.
const cwdText = "failed to find initial working directory"

// startError turns gVisor's text into the errno and stage of a failed start.
func startError(text string, p engine.Program) error {
	stage := fault.StageExec
	if strings.HasPrefix(text, cwdText) {
		stage = fault.StageCwd
	}
	for errno, said := range startErrors {
		if strings.HasSuffix(text, ": "+said) {
			return engine.NotStarted(stage, errno, p)
		}
	}
	return fault.New(fault.Exec, stage, "start %q: %s", p.Argv[0], strings.ToValidUTF8(text, "?"))
}
