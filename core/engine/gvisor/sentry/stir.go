package sentry

import (
	"encoding/json"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
	"gvisor.dev/gvisor/pkg/context"
	"gvisor.dev/gvisor/pkg/hostarch"
	"gvisor.dev/gvisor/pkg/sentry/arch"
	"gvisor.dev/gvisor/pkg/sentry/control"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	"gvisor.dev/gvisor/pkg/sentry/platform"
)

// The sentry tells the supervisor when code of the guest runs again after a pause:
// so nobody has to look every few milliseconds at a guest that sleeps. gVisor calls
// its platform each time a task runs, and each time one falls asleep; ours is
// gVisor's own, with a look at one flag before.

const platformName = "systrap"

func init() {
	inner, err := platform.Lookup(platformName)
	if err != nil {
		return // the boot says so
	}
	platform.Register(platformName, stirConstructor{inner})
}

// stirred tells of the guest, once for each time that it is set to do so.
var stirred struct {
	armed  atomic.Bool
	tell   atomic.Pointer[func() bool] // reports whether it could
	kernel atomic.Pointer[kernel.Kernel]
}

// arm makes the next task that runs tell. It refuses while a task runs, or may do
// more than a little after it wakes up before it runs again or sleeps: one within a
// system call that takes memory without an end, as sendfile does from a full pipe.
func arm() bool {
	k := stirred.kernel.Load()
	if k == nil {
		return false
	}
	stirred.armed.Store(true) // first: who runs later tells, who runs now is seen
	for _, t := range k.TaskSet().Root.Tasks() {
		if !sleeps(t) {
			stirred.armed.Store(false)
			return false
		}
	}
	return true
}

func sleeps(t *kernel.Task) bool {
	switch t.TaskGoroutineState() {
	case kernel.TaskGoroutineNonexistent, kernel.TaskGoroutineStopped:
		return true
	case kernel.TaskGoroutineBlockedInterruptible:
		// One that wakes up meanwhile tells, whatever is read here.
		context := t.Arch()
		return context != nil && (slices.Contains(waits, context.SyscallNo()) || slices.Contains(oldWaits, context.SyscallNo()))
	}
	return false
}

// waits are system calls that wait and then do little: what they hand over was there
// before, in a pipe or a socket.
var waits = []uintptr{
	unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_FUTEX, unix.SYS_RESTART_SYSCALL,
	unix.SYS_PPOLL, unix.SYS_PSELECT6, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_PWAIT2,
	unix.SYS_WAIT4, unix.SYS_WAITID, unix.SYS_RT_SIGSUSPEND, unix.SYS_RT_SIGTIMEDWAIT,
	unix.SYS_ACCEPT, unix.SYS_ACCEPT4, unix.SYS_READ, unix.SYS_RECVFROM, unix.SYS_RECVMSG,
}

// stir is called by tasks of the guest.
func stir() {
	if stirred.armed.Load() && stirred.armed.CompareAndSwap(true, false) {
		if tell := stirred.tell.Load(); tell == nil || !(*tell)() {
			stirred.armed.Store(true)
		}
	}
}

type stirConstructor struct{ platform.Constructor }

// New runs in the sentry, once it may use all processors.
func (c stirConstructor) New(opts platform.Options) (platform.Platform, error) {
	go json.Unmarshal([]byte("{}"), &control.ExecArgs{}) // learns the type beside the boot
	p, err := c.Constructor.New(opts)
	if err != nil {
		return nil, err
	}
	return stirPlatform{p}, nil
}

type stirPlatform struct{ platform.Platform }

func (p stirPlatform) NewContext(ctx context.Context) platform.Context {
	if stirred.kernel.Load() == nil {
		stirred.kernel.Store(kernel.KernelFromContext(ctx))
	}
	return stirContext{p.Platform.NewContext(ctx)}
}

type stirContext struct{ platform.Context }

func (c stirContext) Switch(ctx context.Context, mm platform.MemoryManager, ac *arch.Context64,
	cpu int32) (*linux.SignalInfo, hostarch.AccessType, error) {
	stir()
	return c.Context.Switch(ctx, mm, ac, cpu)
}

// PrepareSleep is told as well: a task that waits again and again within one system
// call, as splice does, does work between.
func (c stirContext) PrepareSleep() {
	stir()
	c.Context.PrepareSleep()
}

func (c stirContext) PrepareUninterruptibleSleep() {
	stir()
	c.Context.PrepareUninterruptibleSleep()
}
