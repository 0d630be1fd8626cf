package qemu

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent"
	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// machine is one QEMU with its guest.
type machine struct {
	name          string // the engine's
	client        *agent.Client
	cmd           *exec.Cmd
	pid           int
	receipt       []string
	kernelRelease string
	writes        bool // a disk is writable: the guest is told to flush at the end
	log           func(string, ...any)

	console, stderr tail
	consoleFile     *os.File
	stderrFile      *os.File
	consoleDone     chan struct{}
	stderrDone      chan struct{}

	done chan struct{} // QEMU has ended

	mu     sync.Mutex
	cause  engine.Cause
	ended  bool // cause is final
	reaped bool
	peak   uint64
	closed sync.Once
}

func newMachine(name string, cmd *exec.Cmd, port, console, stderr *os.File, log func(string, ...any)) *machine {
	m := &machine{
		name: name, cmd: cmd, pid: cmd.Process.Pid, log: log, client: agent.NewClient(port, agent.Options{Log: log}),
		consoleFile: console, stderrFile: stderr, consoleDone: make(chan struct{}), stderrDone: make(chan struct{}),
		done: make(chan struct{}),
	}
	go m.console.follow(console, m.consoleDone)
	go m.stderr.follow(stderr, m.stderrDone)
	go m.watch()
	return m
}

// watch closes done when QEMU has ended, and ends it when the agent is lost. The zombie
// is left to Close, so that the pid stays ours.
func (m *machine) watch() {
	var status syscall.WaitStatus
	exited := make(chan struct{})
	go func() {
		status, _ = engine.AwaitExit(m.pid)
		close(exited)
	}()
	select {
	case <-exited:
	case <-m.client.Done():
		// A guest that resets itself ends QEMU a moment later; its console tells why.
		select {
		case <-exited:
		case <-time.After(lostAgent):
			m.kill()
			<-exited
		}
	}
	// The sockets are closed by now: what the guest said last is read to its end.
	<-m.consoleDone
	<-m.stderrDone
	cause := engine.Crashed
	if m.console.outOfMemory() {
		cause = engine.MemoryLimit
	}
	if m.setCause(cause) {
		m.log("engine %s: %s (QEMU %s)", m.name, m.lastWords(), engine.ExitText(status))
	}
	m.client.Close()
	close(m.done)
}

// lostAgent is how long QEMU may take to end after the agent is gone.
const lostAgent = 2 * time.Second

// setCause records why the machine ends; the first cause counts.
func (m *machine) setCause(c engine.Cause) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := !m.ended
	if first {
		m.cause, m.ended = c, true
	}
	return first
}

// kill ends QEMU, and with it the pid namespace of which it is the first process.
func (m *machine) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.reaped {
		unix.Kill(m.pid, unix.SIGKILL)
	}
}

// lastWords says what is known about an end that nobody asked for.
func (m *machine) lastWords() string {
	if reason := m.console.panicked(); reason != "" {
		return "the guest's kernel gave up: " + reason
	}
	if line := m.stderr.problem(); line != "" {
		return "QEMU: " + line
	}
	if line := m.console.lastLine(); line != "" {
		return "QEMU ended; the guest's console: " + line
	}
	return "QEMU ended without a word"
}

// configure waits for the agent and lets it make the guest's file systems.
func (m *machine) configure(ctx context.Context, config *wire.Config) error {
	welcome, err := m.client.Hello(ctx)
	if err != nil {
		return err
	}
	m.kernelRelease = welcome.Kernel
	entropy := make([]byte, 64)
	rand.Read(entropy)
	config.Renewal = wire.Renewal{UnixNano: time.Now().UnixNano(), Entropy: string(entropy), Hostname: hostName}
	return m.client.Configure(ctx, config)
}

// hostName is what the guest is called, with every engine.
const hostName = "sandbox"

// bootError says why there is no guest. The machine is closed already.
func (m *machine) bootError(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fault.New(fault.TimedOut, fault.StageEngine, "engine %s: the boot took longer than its time limit", m.name)
	case ctx.Err() != nil:
		return fault.New(fault.Canceled, fault.StageEngine, "engine %s: the boot was canceled", m.name)
	}
	var own *fault.Error
	if errors.As(err, &own) && own.Code != fault.Gone && own.Code != fault.IO {
		return err
	}
	if text := m.stderr.text(); strings.Contains(text, "jail: ") {
		return fault.New(fault.Setup, fault.StageEngine, "engine %s: %s", m.name, m.stderr.lastLine())
	}
	return fault.New(fault.Boot, fault.StageEngine, "engine %s: %s", m.name, m.lastWords())
}

func (m *machine) Start(ctx context.Context, p engine.Program) (engine.Process, error) {
	start := m.client.Start
	if p.Terminal {
		start = m.client.StartOnTerminal
	}
	process, err := start(ctx, p)
	if err != nil {
		return nil, err
	}
	return process, nil
}

func (m *machine) Receipt() []string     { return append([]string(nil), m.receipt...) }
func (m *machine) Done() <-chan struct{} { return m.done }

func (m *machine) Cause() engine.Cause {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cause
}

func (m *machine) SignalAll(sig syscall.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	return m.client.SignalAll(ctx, sig)
}

const (
	requestTime = 10 * time.Second
	// flushTime is how long a guest may take to write what its disks do not have yet.
	flushTime = 10 * time.Second
)

func (m *machine) Usage(ctx context.Context) (engine.Usage, error) {
	u, err := m.client.Usage(ctx)
	if err != nil {
		return engine.Usage{}, err
	}
	out := engine.Usage{
		CPUTime: time.Duration(u.CPUTime), MemoryBytes: u.MemoryBytes, OverlayBytes: u.OverlayBytes,
	}
	m.mu.Lock()
	m.peak = max(m.peak, u.MemoryBytes, u.MemoryPeak)
	out.MemoryPeakBytes = m.peak
	m.mu.Unlock()
	out.DiskReadBytes, out.DiskWrittenBytes, out.DiskKnown = diskUse(m.pid)
	return out, nil
}

// diskUse is what QEMU has read from and written to storage.
func diskUse(pid int) (read, written uint64, known bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, 0, false
	}
	for line := range strings.Lines(string(data)) {
		fmt.Sscanf(line, "read_bytes: %d", &read)
		fmt.Sscanf(line, "write_bytes: %d", &written)
	}
	return read, written, true
}

func (m *machine) Close() error {
	m.closed.Do(m.close)
	return nil
}

func (m *machine) close() {
	m.setCause(engine.Closed)
	if m.writes {
		ctx, cancel := context.WithTimeout(context.Background(), flushTime)
		if err := m.client.PowerOff(ctx); err != nil {
			m.log("engine %s: the guest did not write its disks: %v", m.name, err)
		}
		cancel()
	}
	m.kill()
	<-m.done
	m.mu.Lock()
	m.reaped = true
	m.mu.Unlock()
	m.cmd.Wait()
	m.consoleFile.Close()
	m.stderrFile.Close()
}
