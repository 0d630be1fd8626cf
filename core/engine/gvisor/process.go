package gvisor

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// process is a program that was started.
type process struct {
	m   *machine
	pid int32

	mu     sync.Mutex
	killed bool // the lineage has been told to kill it
	ended  bool
	usage  engine.ProgramUsage
}

func (p *process) PID() int { return int(p.pid) }

func (p *process) Wait() (syscall.WaitStatus, error) {
	var status uint32
	args := waitArgs{PID: p.pid, CID: p.m.id}
	_, err := p.m.rpc.call(context.Background(), methodWait, &args, &status)
	p.finish(err == nil)
	if err != nil {
		return 0, p.m.rpcError(err, fmt.Sprintf("wait for program %d", p.pid))
	}
	return syscall.WaitStatus(status), nil
}

// finish notes the end, and what was used where the sentry can still tell.
func (p *process) finish(told bool) {
	p.mu.Lock()
	p.ended = true
	killed := p.killed
	p.mu.Unlock()
	used := engine.ProgramUsage{CPUTime: -1, OwnCPUTime: -1}
	if told {
		limit := usageWait
		if killed {
			limit = killedWait
		}
		if u, ok := p.m.lineage.usage(p.pid, limit); ok {
			used = engine.ProgramUsage{CPUTime: u.all, OwnCPUTime: u.own, MemoryPeak: u.peak,
				ProcessesRefused: u.flags&wire.FlagRefused != 0, OverlayFull: u.flags&wire.FlagOverlayFull != 0,
				OpenFilesFull: u.flags&wire.FlagFilesFull != 0}
		}
		if killed {
			p.m.lineage.send(wire.Forget, p.pid) // fails only when the sentry is gone
		}
	}
	p.mu.Lock()
	p.usage = used
	p.mu.Unlock()
}

func (p *process) Usage() engine.ProgramUsage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.usage
}

func (p *process) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	ended := p.ended
	p.killed = p.killed || !ended && sig == unix.SIGKILL
	p.mu.Unlock()
	if ended {
		return noProcess(p.pid)
	}
	if sig == unix.SIGKILL {
		if err := p.killFamily(); err != nil {
			return err
		}
	}
	err := p.m.signal(signalArgs{CID: p.m.id, PID: p.pid, Signo: int32(sig), Mode: toProcess})
	if err != nil && strings.Contains(err.Error(), unix.ESRCH.Error()) {
		if sig == unix.SIGKILL {
			return nil // the lineage has reached it
		}
		return noProcess(p.pid)
	}
	return err
}

// killFamily ends what the program has started, and the program too where it
// has ever started a process. From then on it starts none.
func (p *process) killFamily() error {
	ctx, cancel := context.WithTimeout(context.Background(), rpcTimeout)
	defer cancel()
	return p.m.rpcError(p.m.lineage.call(ctx, wire.Kill, p.pid), "kill")
}

func noProcess(pid int32) error {
	e := fault.New(fault.Done, fault.StageEngine, "program %d has ended", pid)
	e.Errno = unix.ESRCH
	return e
}

func (m *machine) Start(ctx context.Context, p engine.Program) (engine.Process, error) {
	stdio, err := fillStdio(p.Stdio)
	if err == nil {
		err = checkProgram(p)
	}
	if err != nil {
		closeAll(stdio)
		return nil, err
	}
	if p.Cwd == "" {
		p.Cwd = m.cwd
	}
	m.memory.soon()
	if carriesExactly(p) {
		return m.startDirect(ctx, p, stdio)
	}
	return m.startLauncher(ctx, p, stdio)
}

// fillStdio takes the program's files, with /dev/null where there is none.
func fillStdio(given [3]*os.File) ([]*os.File, error) {
	files := given[:]
	for i, f := range files {
		if f != nil {
			continue
		}
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return files, fault.Wrap(err, fault.IO, fault.StageStdio, os.DevNull)
		}
		files[i] = null
	}
	return files, nil
}

func checkProgram(p engine.Program) error {
	if err := p.Check(); err != nil {
		return err
	}
	return checkRlimits(p.Rlimits)
}

// execArgs is what both ways to start a program have in common. As on Linux, a
// program that leaves uid 0 keeps the bounding set only.
func (m *machine) execArgs(p engine.Program) execArgs {
	args := execArgs{
		ContainerID: m.id, StdioIsPty: p.Terminal, Capabilities: m.caps, KUID: p.UID, KGID: p.GID,
	}
	for _, gid := range p.Groups {
		args.ExtraKGIDs = append(args.ExtraKGIDs, gid)
	}
	if p.UID != 0 {
		args.Capabilities = &taskCapabilities{BoundingCaps: m.caps.BoundingCaps}
	}
	return args
}

// startDirect starts a program with the one call that gVisor has for it.
func (m *machine) startDirect(ctx context.Context, p engine.Program, stdio []*os.File) (engine.Process, error) {
	args := m.execArgs(p)
	args.Argv, args.Envv = p.Argv, p.Env
	args.GuestFDs = []int{0, 1, 2}
	args.WorkingDirectory = p.Cwd
	if !strings.HasSuffix(p.Cwd, "/") {
		// gVisor does not check that it is a directory; the dot makes it.
		args.WorkingDirectory += "/."
	}
	pid, err := m.execute(ctx, &args, stdio)
	if err != nil {
		if remote, ok := err.(remoteError); ok {
			return nil, startError(string(remote), p)
		}
		return nil, m.rpcError(err, "start a program")
	}
	return &process{m: m, pid: pid}, nil
}

// execute runs ExecuteAsync and closes files. When ctx ends the call first, the
// program may start all the same: it is killed once its pid is known.
func (m *machine) execute(ctx context.Context, args *execArgs, files []*os.File) (int32, error) {
	type answer struct {
		pid int32
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		a.pid, a.err = m.executeNow(args, files)
		closeAll(files)
		answers <- a
	}()
	select {
	case a := <-answers:
		return a.pid, a.err
	case <-ctx.Done():
		go func() {
			if a := <-answers; a.err == nil {
				lost := &process{m: m, pid: a.pid}
				lost.Signal(unix.SIGKILL)
				lost.Wait()
			}
		}()
		return 0, ctx.Err()
	}
}

// executeNow starts one program at a time, as gVisor does, each with limits of
// its own: those of the next one are made while this one runs.
func (m *machine) executeNow(args *execArgs, files []*os.File) (pid int32, err error) {
	m.starting.Lock()
	defer m.starting.Unlock()
	if m.fresh != nil {
		if err := m.lineage.await(context.Background(), m.fresh); err != nil {
			return 0, err
		}
	}
	_, err = m.rpc.call(context.Background(), methodExecute, args, &pid, files...)
	var renew error
	if m.fresh, renew = m.lineage.send(wire.RenewLimits, 0); err == nil && renew != nil {
		err = renew
	}
	return pid, err
}
