//go:build linux

package launch_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// TestMain is also what the tests start in place of msb: the sandbox's name, which
// is in the arguments, says what it does.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == launch.SuperviseCommand {
		impersonate(strings.TrimPrefix(os.Args[2], "--name="))
	}
	keep()
	harness.Main(m)
}

// keep makes what the test's own parent left open close-on-exec: a child would get
// it, as from any host program that is careless.
func keep() {
	for fd := 3; fd < 1024; fd++ {
		unix.CloseOnExec(fd)
	}
}

func impersonate(what string) {
	startup := os.NewFile(launch.StartupFD, "startup")
	say := func(format string, args ...any) { fmt.Fprintf(startup, format+"\n", args...) }
	good := func() { say(`{"pid":%d,"protocol":%d,"more":"is ignored"}`, os.Getpid(), control.Protocol) }
	switch what {
	case "exit":
		fmt.Fprintln(os.Stderr, "no such luck")
		os.Exit(7)
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "garbage":
		say("%s", strings.Repeat("\x01garbage\xff", 100))
	case "empty line":
		say("")
	case "half a line":
		fmt.Fprintf(startup, `{"pid":`)
		startup.Close()
	case "other protocol":
		say(`{"pid":%d,"protocol":%d}`, os.Getpid(), control.Protocol+1)
	case "other pid":
		say(`{"pid":%d,"protocol":%d}`, os.Getpid()+1, control.Protocol)
	case "hang":
		fmt.Fprintln(os.Stderr, "hanging")
	case "close":
		startup.Close()
	case "report":
		good()
		report()
	case "good then exit":
		good()
		os.Exit(3)
	case "good":
		good()
	}
	for { // until the test lets go of the watchdog, or kills us
		n, err := syscall.Read(launch.WatchdogFD, make([]byte, 1))
		if n == 0 && err == nil {
			os.Exit(5)
		}
	}
}

// world is what a child sees of its surroundings.
type world struct {
	FDs     map[string]string
	Env     []string
	Cwd     string
	Args    []string
	Sid     int
	Pid     int
	Blocked string
	Ignored string
	Config  control.Config
}

// ours leaves out what the Go runtime opens.
func ours(target string) bool {
	return !strings.HasPrefix(target, "anon_inode:[event") && !strings.HasPrefix(target, "/sys/fs/cgroup/")
}

// report answers over the control connection.
func report() {
	w := world{FDs: map[string]string{}, Env: os.Environ(), Args: os.Args, Pid: os.Getpid()}
	w.Cwd, _ = os.Getwd()
	w.Sid, _ = unix.Getsid(0)
	for fd := range 1024 {
		var st unix.Stat_t
		target, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err == nil && unix.Fstat(fd, &st) == nil && ours(target) {
			w.FDs[fmt.Sprint(fd)] = target
		}
	}
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":\t")
		switch name {
		case "SigBlk":
			w.Blocked = value
		case "SigIgn":
			w.Ignored = value
		}
	}
	data, err := control.ReadSealed(launch.ConfigFD, -1)
	if err == nil {
		json.Unmarshal(data, &w.Config)
	}
	conn, err := control.NewConn(launch.ControlFD)
	if err != nil {
		os.Exit(9)
	}
	m, _ := control.NewMessage(control.Ready, 0, w)
	conn.Send(m)
}

// begin starts this binary as a supervisor that does what its name says.
func begin(t *testing.T, what string, limit time.Duration) (*launch.Child, error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, fault.New(fault.TimedOut, fault.NoStage, "too long"))
	defer cancel()
	child, err := launch.Start(ctx, self(t), control.Config{Protocol: control.Protocol, Name: what, ID: "secret in the configuration"})
	if err == nil {
		t.Cleanup(func() {
			child.Process.Kill()
			<-child.Process.Done()
			child.Release()
		})
	}
	return child, err
}

func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	require.NoError(t, err)
	return path
}

// subtest runs one test of this binary in a process of its own.
func subtest(t *testing.T, test, env string) {
	t.Helper()
	cmd := exec.Command(self(t), "-test.run=^"+test+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), env)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

func writeFile(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), mode))
	return path
}

// onThread runs f on a thread with all signals blocked, like those of the library
// in a host program.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends
		var all unix.Sigset_t
		for i := range all.Val {
			all.Val[i] = ^uint64(0)
		}
		unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil)
		f()
	}()
	<-done
}
