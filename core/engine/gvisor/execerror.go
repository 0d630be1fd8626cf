package gvisor

import (
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
			return engine.NotStarted(stage, unix.Errno(e.Errno()), p)
		}
	}
	return fault.New(fault.Exec, stage, "start %q: %s", p.Argv[0], strings.ToValidUTF8(text, "?"))
}
