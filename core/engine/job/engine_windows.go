package job

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// Name is the engine's label.
const Name = "job"

// maxProcesses bounds the processes of a machine of which nobody says more.
const maxProcesses = 1024

type jobEngine struct{}

// New returns the engine.
func New() engine.Engine { return jobEngine{} }

func (jobEngine) Name() string { return Name }

// ByNameOnly keeps AUTO from taking an engine that is no wall.
func (jobEngine) ByNameOnly() {}

// DefaultLimits are those of who asks for none. Open files are not limited here.
func (jobEngine) DefaultLimits(uint64) engine.Limits { return engine.Limits{Processes: maxProcesses} }

// Boot makes the job and the programs' work directory.
func (jobEngine) Boot(_ context.Context, cfg engine.Config) (engine.Machine, error) {
	if cfg.Root.Kind != image.Host {
		return nil, fault.New(fault.Unsupported, fault.StageRoot, "the engine job shows its programs the host's file systems: it has no other root")
	}
	if len(cfg.Mounts) > 0 {
		return nil, fault.New(fault.Unsupported, fault.StageRoot, "the engine job cannot mount anything: its programs see the host's file systems")
	}
	if cfg.Limits.CPUWeight > 0 || cfg.Limits.OpenFiles > 0 {
		return nil, fault.New(fault.Unsupported, fault.StageEngine, "the engine job has no cpu_weight and no max_open_files")
	}
	m := &machine{limit: cfg.MemoryBytes, limits: cfg.Limits, work: filepath.Join(cfg.Dir, "work"), done: make(chan struct{}), stop: make(chan struct{})}
	if err := m.open(); err != nil {
		m.release()
		return nil, fault.Wrap(err, fault.Setup, fault.StageEngine, "job object")
	}
	go m.watchMemory()
	return m, nil
}

// machine is a job.
type machine struct {
	limit  uint64 // bytes
	limits engine.Limits
	work   string
	job    *winsys.Job
	token  windows.Token
	null   *os.File
	done   chan struct{}
	stop   chan struct{} // closed by the first to end it

	mu     sync.Mutex
	ending bool
	cause  engine.Cause
	peak   uint64
	now    uint64
}

func (m *machine) open() (err error) {
	if err = winsys.MakePrivateDir(m.work); err != nil {
		return err
	}
	// The kernel's own limit lies above ours: at it allocations fail and nobody is told.
	if m.job, err = winsys.NewJob("", winsys.Limits{
		KillOnClose: true, MemoryBytes: m.limit + m.limit/4, Processes: m.limits.Processes,
	}); err != nil {
		return err
	}
	if m.limits.CPUPermille > 0 {
		if err = m.job.LimitCPU(m.limits.CPUPermille); err != nil {
			return err
		}
	}
	if m.token, err = winsys.RestrictedToken(); err != nil {
		return err
	}
	m.null, err = winsys.OpenNull()
	return err
}

func (m *machine) release() {
	if m.job != nil {
		m.job.Close()
	}
	if m.token != 0 {
		m.token.Close()
	}
	if m.null != nil {
		m.null.Close()
	}
	winsys.Empty(m.work, "")
	winsys.Remove(m.work)
}

// Receipt lists what is enforced by what.
func (m *machine) Receipt() []string {
	return []string{
		"isolation: none: programs run on this Windows as the user, with his files and network; this engine is no wall against hostile code",
		fmt.Sprintf("memory: committed bytes looked at every %v; above the limit the sandbox ends, a quarter above it the job object refuses", memoryPoll),
		fmt.Sprintf("processes: job object, %d at once", m.limits.Processes),
		"processor time: job object, of each process of a program with rlimit CPU",
		"privileges: restricted token, administrators for denying only",
		"life: kill on close of the job object, which the supervisor holds",
		"changes to files: not contained; overlay_bytes has no effect",
	}
}

// memoryPoll is the interval at which the job's memory is looked at.
const memoryPoll = 100 * time.Millisecond

// watchMemory ends the machine when its programs have more than the limit.
func (m *machine) watchMemory() {
	tick := time.NewTicker(memoryPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-m.stop:
			return
		}
		if m.measure() > m.limit {
			m.end(engine.MemoryLimit)
			return
		}
	}
}

// measure adds up what the programs have committed.
func (m *machine) measure() uint64 {
	if n, err := m.job.Active(); err != nil || n == 0 {
		m.mu.Lock()
		m.now = 0
		m.mu.Unlock()
		return 0
	}
	pids, _ := m.job.Pids()
	var sum uint64
	for _, pid := range pids {
		sum += winsys.Committed(pid)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.peak = sum, max(m.peak, sum)
	return sum
}

// Usage tells what the machine has used until now.
func (m *machine) Usage(context.Context) (engine.Usage, error) {
	u, err := m.job.Usage()
	if err != nil {
		return engine.Usage{}, fault.Wrap(err, fault.IO, fault.StageEngine, "usage of the job object")
	}
	now := m.measure()
	m.mu.Lock()
	defer m.mu.Unlock()
	return engine.Usage{
		CPUTime: u.CPUTime, MemoryBytes: now, MemoryPeakBytes: max(m.peak, u.PeakMemoryBytes),
		DiskReadBytes: u.ReadBytes, DiskWrittenBytes: u.WrittenBytes, DiskKnown: u.DiskKnown,
	}, nil
}

// Done is closed when the machine has ended.
func (m *machine) Done() <-chan struct{} { return m.done }

// Cause tells why it ended.
func (m *machine) Cause() engine.Cause {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cause
}

// endLimit bounds the wait for processes that the kernel is ending.
const endLimit = 5 * time.Second

// end ends everything, once.
func (m *machine) end(cause engine.Cause) {
	m.mu.Lock()
	first := !m.ending
	if first {
		m.ending, m.cause = true, cause
		close(m.stop)
	}
	m.mu.Unlock()
	if !first {
		<-m.done
		return
	}
	m.job.Terminate(killedCode)
	m.job.AwaitEmpty(endLimit)
	m.release()
	close(m.done)
}

// Close kills everything and returns when it is gone.
func (m *machine) Close() error {
	m.end(engine.Closed)
	return nil
}

func (m *machine) isEnding() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ending
}
