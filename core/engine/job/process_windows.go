package job

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// killedCode is the exit code of what is ended from outside.
const killedCode = 1

// Numbers of Linux for resources and signals.
const (
	rlimitCPU   = 0 // seconds
	rlimitNPROC = 6
	sigInt      = syscall.Signal(2)
	sigTerm     = syscall.Signal(15)
)

// process is a program with all that it starts, in a job of its own.
type process struct {
	machine *machine
	pid     int
	handle  windows.Handle
	job     *winsys.Job

	mu    sync.Mutex
	ended bool
	usage engine.ProgramUsage
}

// Start starts a program.
func (m *machine) Start(_ context.Context, p engine.Program) (engine.Process, error) {
	defer closeFiles(p.Stdio[:])
	limits, err := check(p)
	if err != nil {
		return nil, err
	}
	dir := p.Cwd
	if dir == "" {
		dir = m.work
	}
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, notStarted(fault.StageCwd, syscall.ENOENT, "working directory %q: not there", dir)
	}
	env := m.environment(p.Env)
	path, err := find(p.Argv[0], dir, env)
	if err != nil {
		return nil, err
	}
	own, err := winsys.NewJob("", limits)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageExec, "job object of the program")
	}
	command := winsys.Command{
		Path: path, Args: p.Argv, Env: env, Dir: dir, Jobs: []*winsys.Job{m.job, own}, Token: m.token,
		Flags: windows.CREATE_NO_WINDOW | windows.CREATE_NEW_PROCESS_GROUP,
	}
	for i, f := range p.Stdio {
		if f == nil {
			f = m.null
		}
		command.Stdio[i] = windows.Handle(f.Fd())
	}
	handle, pid, err := winsys.Spawn(command)
	if err != nil {
		own.Close()
		return nil, spawnError(err, path)
	}
	return &process{machine: m, pid: pid, handle: handle, job: own}, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// check refuses what this engine cannot do, and returns the limits of the program.
func check(p engine.Program) (winsys.Limits, error) {
	limits := winsys.Limits{KillOnClose: true}
	refuse := func(format string, args ...any) (winsys.Limits, error) {
		return limits, fault.New(fault.Unsupported, fault.StageExec, "the engine job: "+format, args...)
	}
	if p.UID != 0 || p.GID != 0 || len(p.Groups) > 0 || p.Umask != nil {
		return refuse("Windows has no uid, gid, groups and umask: leave them out")
	}
	for _, list := range [][]string{p.Argv, p.Env, {p.Cwd}} {
		for _, s := range list {
			if !utf8.ValidString(s) {
				return refuse("%q is not UTF-8: Windows could not pass it on as it is", s)
			}
		}
	}
	for _, r := range p.Rlimits {
		switch {
		case r.Soft == engine.RlimitInfinity:
		case r.Resource == rlimitCPU && r.Soft > 0 && r.Soft < 1<<30:
			limits.CPUTime = r.Soft * uint64(time.Second/(100*time.Nanosecond))
		case r.Resource == rlimitNPROC && r.Soft > 0 && r.Soft < 1<<30:
			limits.Processes = uint32(r.Soft)
		default:
			return refuse("resource limit %d of %d: it can limit CPU (0) and NPROC (6) from 1 on", r.Resource, r.Soft)
		}
	}
	return limits, nil
}

func notStarted(stage fault.Stage, errno syscall.Errno, format string, args ...any) error {
	e := fault.New(fault.Exec, stage, format, args...)
	e.Errno = errno
	return e
}

func spawnError(err error, path string) error {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return err
	}
	hint := ""
	if errno == windows.ERROR_BAD_EXE_FORMAT {
		hint = ": not a program for this machine"
	}
	return notStarted(fault.StageExec, errno, "start %q: %v%s", path, err, hint)
}

// PID is the process id.
func (p *process) PID() int { return p.pid }

// Wait returns how the program ended. What it has started lives on until the machine
// ends, so its job stays open.
func (p *process) Wait() (syscall.WaitStatus, error) {
	_, err := windows.WaitForSingleObject(p.handle, windows.INFINITE)
	var code uint32
	if err == nil {
		err = windows.GetExitCodeProcess(p.handle, &code)
	}
	used, uerr := p.job.Usage()
	own := processTime(p.handle)
	p.mu.Lock()
	p.ended = true
	p.usage = engine.ProgramUsage{CPUTime: used.CPUTime, OwnCPUTime: own, MemoryPeak: used.PeakProcess}
	if uerr != nil {
		p.usage.CPUTime = -1
	}
	windows.CloseHandle(p.handle)
	p.mu.Unlock()
	go p.closeJob()
	if err == nil && p.machine.isEnding() {
		err = errors.New("the machine ended first")
	}
	return syscall.WaitStatus{ExitCode: code}, err
}

// orphanPoll is the interval of looks at what a program left running: when that has
// ended, too, the job is closed.
const orphanPoll = time.Second

func (p *process) closeJob() {
	defer p.job.Close()
	tick := time.NewTicker(orphanPoll)
	defer tick.Stop()
	for {
		if n, err := p.job.Active(); err != nil || n == 0 {
			return
		}
		select {
		case <-p.machine.done:
			return
		case <-tick.C:
		}
	}
}

func processTime(h windows.Handle) time.Duration {
	var created, exited, kernel, user windows.Filetime
	if windows.GetProcessTimes(h, &created, &exited, &kernel, &user) != nil {
		return -1
	}
	ticks := func(t windows.Filetime) time.Duration {
		return time.Duration(uint64(t.HighDateTime)<<32|uint64(t.LowDateTime)) * 100
	}
	return ticks(kernel) + ticks(user)
}

// Signal ends the program and all that it started (SIGKILL), or sends CTRL_BREAK to
// its console's group (SIGINT, SIGTERM).
func (p *process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.ended:
		return os.ErrProcessDone
	case sig == syscall.SIGKILL:
		return p.job.Terminate(killedCode)
	case sig != sigInt && sig != sigTerm:
		return fault.New(fault.Unsupported, fault.StageControl,
			"signal %d: a program of the engine job takes 9 (all that it started ends), and 2 and 15 (CTRL_BREAK)", int(sig))
	}
	if err := winsys.Break(p.pid); err != nil {
		return fault.Wrap(err, fault.IO, fault.StageControl, "send CTRL_BREAK")
	}
	return nil
}

// Usage is what it has used; valid once Wait has returned.
func (p *process) Usage() engine.ProgramUsage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.usage
}

// SignalAll ends all programs, or asks those that have a console to end.
func (m *machine) SignalAll(sig syscall.Signal) error {
	if sig == syscall.SIGKILL {
		return m.job.Terminate(killedCode)
	}
	pids, err := m.job.Pids()
	for _, pid := range pids {
		winsys.Break(pid) // one that leads no group, or has no console, is not reached
	}
	return err
}
