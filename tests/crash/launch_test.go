package crash

import (
	"encoding/json"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/launch"
	"github.com/libmicrosandbox/microsandbox/core/process"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// lingering is how long the fake supervisor's child has its descriptors.
const lingering = time.Second

// supervise is a supervisor that claims its name, forks a child that has all its
// descriptors, the lock's among them, and never says that it has started.
func supervise() {
	var cfg control.Config
	data, err := control.ReadSealed(launch.ConfigFD, -1)
	if err == nil {
		err = json.Unmarshal(data, &cfg)
	}
	root, rootErr := store.OpenRoot(cfg.StateDir)
	self, selfErr := process.Self()
	if err != nil || rootErr != nil || selfErr != nil {
		os.Exit(1)
	}
	claim, err := root.Claim(store.Record{Name: cfg.Name, ID: cfg.ID, Supervisor: self})
	if err != nil {
		os.Exit(1)
	}
	rest := unix.NsecToTimespec(int64(lingering))
	pid, _, _ := syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
	if pid == 0 {
		syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&rest)), 0, 0)
		syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
	}
	time.Sleep(time.Minute)
	runtime.KeepAlive(claim)
}

// A supervisor that is given up before it has said a word may have claimed its name: the
// create is over when that is undone, though a child of it lives a moment longer.
func TestGivenUpBeforeTheFirstWord(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	sb, err := core.Create(core.Options{
		Name: "silent", MsbPath: self, State: newState(t), Root: harness.Options(t).Root, StartTimeout: lingering / 2,
	})
	require.NoError(t, err)
	defer sb.Close()
	harness.Wait(t, sb.Done(), "the end")
	assert.ErrorIs(t, sb.StartErr(), &fault.Error{Code: fault.TimedOut})
	assert.Empty(t, harness.Entries(t, sb.StateDir()))
}
