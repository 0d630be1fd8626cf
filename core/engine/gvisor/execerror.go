package gvisor

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/errors"
	"gvisor.dev/gvisor/pkg/errors/linuxerr"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// startErrors are the errors that starting a program can end in. gVisor reports
// them as text only, with the error's own text at the end.
var startErrors = []*errors.Error{
	linuxerr.ENOENT, linuxerr.EACCES, linuxerr.ENOEXEC, linuxerr.ENOTDIR, linuxerr.EISDIR, linuxerr.ELOOP,
	linuxerr.ENAMETOOLONG, linuxerr.EPERM, linuxerr.E2BIG, linuxerr.ENOMEM, linuxerr.EIO, linuxerr.EINVAL, linuxerr.ETXTBSY,
	linuxerr.ELIBBAD, linuxerr.EFAULT, linuxerr.EMFILE, linuxerr.ENFILE, linuxerr.EAGAIN, linuxerr.ENODEV, linuxerr.ESTALE,
}

// cwdText begins what gVisor says about a working directory.
const cwdText = "failed to find initial working directory"

// startError turns gVisor's text into the errno and stage of a failed start.
func startError(text string, p engine.Program) error {
	stage := fault.StageExec
	if strings.HasPrefix(text, cwdText) {
		stage = fault.StageCwd
	}
	for _, e := range startErrors {
		if strings.HasSuffix(text, ": "+e.Error()) {
			return notStarted(stage, unix.Errno(e.Errno()), p)
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
