// Package runtime is the supervisor: one process per sandbox that boots the
// engine, serves the control socket, watches the owner, and takes everything away
// at the end.
package runtime

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/launch"
)

// Exit codes of a supervisor.
const (
	exitEnded  = 0
	exitFailed = 1 // the boot failed, and the owner was told
	exitUsage  = 2 // not started by the library
)

// Main is the supervisor's whole life. engines are in order of strength, the
// strongest first.
func Main(engines []engine.Engine) int {
	failpoint.Mark("supervisor.main")
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	go growTable()
	if err := checkDescriptors(); err != nil {
		fmt.Fprintln(os.Stderr, "msb supervise:", err)
		return exitUsage
	}
	s := newSupervisor()
	configErr := readConfig(&s.cfg)
	if configErr == nil {
		warm(engines, s.cfg.Engine)
		s.takeMounts() // before all that is nobody's is closed
	}
	closeInherited()
	unix.Umask(0o077)
	startup := os.NewFile(launch.StartupFD, "startup")
	line, _ := json.Marshal(launch.Startup{Pid: os.Getpid(), Protocol: control.Protocol})
	if _, err := startup.Write(append(line, '\n')); err != nil {
		return exitUsage // nobody is there to be told
	}
	startup.Close()
	conn, err := control.NewConn(launch.ControlFD)
	if err != nil {
		fmt.Fprintln(os.Stderr, "msb supervise:", err)
		return exitUsage
	}
	if configErr != nil {
		s.reportFailure(conn, fault.Wrap(configErr, fault.Launch, fault.StageConfig, "configuration"))
		return exitFailed
	}
	if err := checkLimits(); err != nil {
		s.reportFailure(conn, err)
		return exitFailed
	}
	failpoint.Arm(s.cfg.StateDir)
	failpoint.Point("boot.begun")
	return s.run(conn, engines)
}

// checkDescriptors refuses to run with anything but what the library hands over.
func checkDescriptors() error {
	want := map[int]uint32{
		launch.ControlFD: unix.S_IFSOCK, launch.ConfigFD: unix.S_IFREG,
		launch.WatchdogFD: unix.S_IFIFO, launch.StartupFD: unix.S_IFIFO,
	}
	for fd := launch.ControlFD; fd <= launch.StartupFD; fd++ {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != want[fd] {
			return fmt.Errorf("descriptor %d is not what the library passes: this command is for the library only, see msb help", fd)
		}
		unix.CloseOnExec(fd)
	}
	return nil
}

// closeInherited closes what the host program has open without close-on-exec, which
// exec brought along: held here it would, say, keep a pipe of the host from its end.
// What this process has opened itself is close-on-exec.
func closeInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= launch.StartupFD {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}

func readConfig(cfg *control.Config) error {
	data, err := control.ReadSealed(launch.ConfigFD, -1)
	if err != nil {
		return err
	}
	unix.Close(launch.ConfigFD)
	if err := json.Unmarshal(data, cfg); err != nil {
		return err
	}
	if cfg.Protocol != control.Protocol {
		return fmt.Errorf("configuration of protocol %d, this msb speaks %d", cfg.Protocol, control.Protocol)
	}
	return nil
}

// growTable opens a descriptor at the top of what the sentry needs while it boots. A
// child's table is as large as what is open in its parent; one that grows in a
// process with threads waits for an RCU grace period, some 8 ms. Here that passes
// beside other work.
func growTable() { unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 255) }

// leastDescriptors is what a boot and a few programs need: an engine that runs out
// of them half-way fails with errors that nobody understands.
const leastDescriptors = 256

func checkLimits() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if limit.Max < leastDescriptors {
		return fault.New(fault.Limit, fault.StageConfig,
			"msb inherits a hard limit of %d open files and needs %d: raise RLIMIT_NOFILE (ulimit -Hn) of the host program", limit.Max, leastDescriptors)
	}
	return nil
}

// warm lets the engine that will probably boot get ready for it beside what comes
// before: of AUTO's, the one that works everywhere.
func warm(engines []engine.Engine, name string) {
	for _, e := range engines {
		_, asks := e.(engine.Chooser)
		if e.Name() != name && (name != "" || asks) {
			continue
		}
		if w, ok := e.(interface{ Warm() }); ok {
			go w.Warm()
		}
		return
	}
}
