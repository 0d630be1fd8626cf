package gvisor

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// startErrnos are the errors that starting a program can end in. gVisor reports
// them as text only, the errno's own text at the end.
var startErrnos = []unix.Errno{
	unix.ENOENT, unix.EACCES, unix.ENOEXEC, unix.ENOTDIR, unix.EISDIR, unix.ELOOP, unix.ENAMETOOLONG,
	unix.EPERM, unix.E2BIG, unix.ENOMEM, unix.EIO, unix.EINVAL, unix.ETXTBSY, unix.ELIBBAD, unix.EFAULT,
	unix.EMFILE, unix.ENFILE, unix.EAGAIN, unix.ENODEV, unix.ESTALE,
}

// cwdText begins what gVisor says about a working directory.
const cwdText = "failed to find initial working directory"

// startError turns gVisor's text into the errno and stage of a failed start.
func startError(text string, p engine.Program) error {
	stage := fault.StageExec
	if strings.HasPrefix(text, cwdText) {
		stage = fault.StageCwd
	}
	for _, errno := range startErrnos {
		if strings.HasSuffix(text, ": "+errno.Error()) {
			return notStarted(stage, errno, p)
		}
	}
	return fault.New(fault.Exec, stage, "start %q: %s", p.Argv[0], strings.ToValidUTF8(text, "?"))
}

// notStarted is the error of a program that could not be executed.
func notStarted(stage fault.Stage, errno unix.Errno, p engine.Program) error {
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
