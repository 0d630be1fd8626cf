// Package engine is the seam between the supervisor and what isolates the
// guest. An engine boots one Machine for one supervisor process and is tied to
// it: when the supervisor dies, by SIGKILL too, everything of the machine dies.
package engine

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

// Config is one sandbox as the engine sees it.
type Config struct {
	ID   string // unique among the living sandboxes of the host: lower-case hex
	Name string // the caller's name for it; a label, never a path
	// Dir is a private directory (mode 0700, absolute path of any length) that
	// the supervisor made and removes. The engine keeps its files there.
	Dir      string
	Root     image.Root
	RootFile *os.File // the root of kind Dir or EROFS, open; nil: the engine opens it
	// Mounts are in the order in which they are made. They stay the caller's,
	// who keeps them open until Boot returns.
	Mounts       []*mounts.Source
	MemoryBytes  uint64 // limit, never 0
	OverlayBytes uint64 // limit of changes to the root, never 0
	// KernelPath is the guest's kernel, for engines that have one: a prepared kernel's
	// directory, or a kernel's file; "" is the default of the first of the directories
	// Kernels that has one. The first is also where what is found out is kept.
	KernelPath string
	Kernels    []string
	Limits     Limits
	// Log takes one line for the supervisor's log; never nil.
	Log func(format string, args ...any)
}

// Engine is a way to isolate.
type Engine interface {
	// Name is the engine's label: "gvisor".
	Name() string
	// Boot returns a machine in which programs can be started. On error
	// (a *fault.Error with its stage) nothing is left: no process, mount,
	// cgroup or file outside cfg.Dir.
	Boot(ctx context.Context, cfg Config) (Machine, error)
}

// Chooser is an Engine that works on some hosts only, and not with every
// configuration. AUTO asks it first; an engine that is none is always taken.
type Chooser interface {
	// Usable returns why there can be no machine with this configuration here, nil
	// once a probe run has shown that there can. No file of it need be open.
	Usable(ctx context.Context, cfg Config) error
}

// ByNameOnly is an Engine that AUTO never takes.
type ByNameOnly interface{ ByNameOnly() }

// Program is what Machine.Start runs. Bytes are bytes: an engine that cannot
// carry a string exactly must refuse it.
type Program struct {
	Argv []string
	Env  []string // the whole environment
	Cwd  string   // absolute, in the guest; "" = Machine's default
	// UID, GID and Groups are ids of the guest. With a UID other than 0 the
	// program has no capabilities.
	UID, GID uint32
	Groups   []uint32 // supplementary
	Umask    *uint32  // nil = 022
	Rlimits  []Rlimit // what is not listed stays as the engine has it
	// Stdio are the guest's 0, 1 and 2, or nil for /dev/null. Start takes
	// ownership of the files and closes them, on error too. The engine may set
	// O_NONBLOCK on them, so the caller never passes a host program's own
	// open file description.
	Stdio [3]*os.File
	// Terminal says that Stdio is three times the slave of a pseudo-terminal, which
	// becomes the program's controlling terminal. Only machines that are Terminals
	// get it.
	Terminal bool
}

// Limits of a machine; zero is none.
type Limits struct {
	CPUPermille, CPUWeight uint32 // by a control group: see Confined

	Processes uint32 // at once, threads and zombies included; more are EAGAIN
	OpenFiles uint32 // of each process: the hard RLIMIT_NOFILE
}

// Limiter is an engine that enforces Limits. Nobody can ask another for any.
type Limiter interface {
	// DefaultLimits are those of who asks for none.
	DefaultLimits(memoryBytes uint64) Limits
}

// Rlimit is a resource limit with Linux's numbers; RlimitInfinity is none.
type Rlimit struct {
	Resource   uint32
	Soft, Hard uint64
}

// RlimitInfinity is RLIM_INFINITY.
const RlimitInfinity = ^uint64(0)

// Machine is a booted guest. All methods may be called from any goroutine.
type Machine interface {
	// Start starts a program. A program that cannot be executed is a
	// *fault.Error with code Exec, errno, and StageExec or StageCwd.
	Start(ctx context.Context, p Program) (Process, error)
	// Receipt lists what is enforced by what: "protection: mechanism".
	Receipt() []string
	// Usage tells what the machine has used until now, without disturbing it.
	Usage(ctx context.Context) (Usage, error)
	// SignalAll sends sig to every program, descendants too.
	SignalAll(sig syscall.Signal) error
	// Done is closed when the machine has ended by itself or by Close.
	Done() <-chan struct{}
	// Cause tells why it ended; valid once Done is closed.
	Cause() Cause
	// Close kills everything and returns when every process of the machine has
	// been reaped and every file outside Config.Dir removed. Idempotent.
	Close() error
}

// LimitTeller is a machine that can tell which limits its guest has met.
type LimitTeller interface {
	// ProcessesRefused reports whether Limits.Processes was ever met.
	ProcessesRefused() bool
}

// Pooler is an Engine whose machines are Adoptable.
type Pooler interface {
	Pools()
}

// Adoptable is a Machine that can be booted before it is known for whom.
type Adoptable interface {
	// Healthy tells whether the machine answers at this moment.
	Healthy(ctx context.Context) error
	// Moved tells that Config.Dir has another path now. No other call runs meanwhile.
	Moved(dir string)
}

// Terminals is what a machine also is that can give programs a terminal.
type Terminals interface {
	// SignalForeground sends sig to what is in the foreground of the terminal of a
	// program, or to the program where that is nothing. The program has a terminal.
	SignalForeground(p Process, sig syscall.Signal) error
}

// Usage is what a machine has used since its boot.
type Usage struct {
	CPUTime              time.Duration // of all programs
	MemoryBytes          uint64        // now, in-memory files included
	MemoryPeakBytes      uint64        // highest seen by the engine
	OverlayBytes         uint64        // in-memory files: changes to the root, tmpfs
	DiskReadBytes        uint64        // from and to storage, by the engine's processes
	DiskWrittenBytes     uint64
	DiskKnown            bool
	NetworkReceivedBytes uint64 // loopback not counted
	NetworkSentBytes     uint64
}

// Sleeper is a Machine that knows whether code of the guest runs.
type Sleeper interface {
	// Asleep returns nil while code of the guest may run, else a channel that is
	// closed when it runs again.
	Asleep() <-chan struct{}
}

// Process is one program in a machine.
type Process interface {
	// PID is the process id inside the guest.
	PID() int
	// Wait returns how the program ended. It is called exactly once, from a
	// goroutine of its own, and returns an error when the machine ended first.
	Wait() (syscall.WaitStatus, error)
	// Signal sends sig to the program. SIGKILL ends all that it has started too,
	// whatever became of its parents and sessions. ESRCH when it has ended.
	Signal(sig syscall.Signal) error
	// Usage is what it has used; valid once Wait has returned.
	Usage() ProgramUsage
}

// ProgramUsage is what a program and all that it started have used until it ended.
type ProgramUsage struct {
	CPUTime    time.Duration // of all; negative when unknown
	OwnCPUTime time.Duration // of the program's own process; negative when unknown
	MemoryPeak uint64        // largest resident size of a process that has ended, in bytes; 0 when unknown

	ProcessesRefused bool // Limits.Processes was met
	OverlayFull      bool // a file system of changes was full when it ended
	OpenFilesFull    bool // a process had as many open files as it may when it ended
}

// Cause is why a machine ended.
type Cause int

// The causes.
const (
	Closed      Cause = iota // Close was called
	Crashed                  // the engine's process died
	MemoryLimit              // Config.MemoryBytes was exceeded
)

// Family is a machine that knows its processes.
type Family interface {
	// Processes are those that the engine has started itself, and will reap.
	Processes() []int
}

// Beginner is an engine that can begin before all of a machine's configuration is
// known.
type Beginner interface {
	// Begin starts, beside what comes before the boot, what every boot needs. id is the
	// later Config.ID, under a directory above Config.Dir. It never fails: what goes
	// wrong is told by the boot.
	Begin(id, under string)
	// Abandon takes back what was begun where no boot follows.
	Abandon()
}
