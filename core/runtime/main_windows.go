// Package runtime is the supervisor: one process per sandbox that boots the
// engine, serves the control pipe, watches the owner, and takes everything away
// at the end.
package runtime

import (
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/launch"
)

// Exit codes of a supervisor. 1 is that of one which was killed.
const (
	exitEnded  = 0
	exitUsage  = 2 // not started by the library
	exitFailed = 3 // the boot failed, and the owner was told
)

// Main is the supervisor's whole life.
func Main(engines []engine.Engine) int {
	// A fault must end the process, not open a window that waits for a click.
	windows.SetErrorMode(windows.SEM_FAILCRITICALERRORS | windows.SEM_NOGPFAULTERRORBOX | windows.SEM_NOOPENFILEERRORBOX)
	inherited, err := launch.ParseInherited(os.Args[1:])
	if err != nil {
		return unusable(err)
	}
	handover, err := launch.ReadHandover(inherited.Config)
	if err != nil {
		return unusable(err)
	}
	s := newSupervisor()
	s.cfg = handover.Config
	s.job = handover.Job
	s.watchdog = os.NewFile(uintptr(inherited.Watchdog), "watchdog")
	conn, err := control.Answer(handover.Pipe, s.cfg.OwnerPid)
	if err != nil {
		return unusable(err)
	}
	line, _ := json.Marshal(launch.Startup{Pid: os.Getpid(), Protocol: control.Protocol})
	if err := conn.WriteLine(line); err != nil {
		return exitUsage // nobody is there to be told
	}
	failpoint.Arm(s.cfg.StateDir)
	failpoint.Point("boot.begun")
	return s.run(conn, engines)
}

func unusable(err error) int {
	fmt.Fprintln(os.Stderr, "msb supervise:", err)
	return exitUsage
}
