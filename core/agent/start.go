package agent

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Start starts a program: see engine.Machine. When ctx ends the call first, the
// program is killed once it runs.
func (c *Client) Start(ctx context.Context, p engine.Program) (*Process, error) {
	return c.start(ctx, p, nil, false)
}

// StartTerminal starts a program with a controlling terminal of the guest as 0, 1 and
// 2. p.Stdio[0] is where its input comes from, p.Stdio[1] where its output goes;
// p.Stdio[2] must be nil. Line editing, echo and signal keys are the guest's: a
// terminal of the host in between must be raw.
func (c *Client) StartTerminal(ctx context.Context, p engine.Program, size wire.Size) (*Process, error) {
	return c.start(ctx, p, &size, false)
}

// start starts a program, with a terminal when it has a size, which hangs up with its
// input when that is a terminal, too.
func (c *Client) start(ctx context.Context, p engine.Program, size *wire.Size, hangsUp bool) (*Process, error) {
	m, err := startMessage(p, size)
	if err != nil {
		closeFiles(p.Stdio)
		return nil, err
	}
	process := newProcess(c)
	process.hangsUp = hangsUp
	if err := process.openStreams(p.Stdio, m); err != nil {
		return nil, err
	}
	if err := c.admit(process); err != nil {
		process.drop()
		return nil, err
	}
	m.Program = process.id
	answer := make(chan error, 1)
	id, err := c.register(func(reply wire.Reply) { answer <- process.startAnswered(reply, p) })
	if err != nil {
		process.drop()
		return nil, err
	}
	if err := c.send(ctx, frame(wire.Header{Kind: wire.KindStart, ID: id}, m.Append)); err != nil {
		c.forget(id)
		process.drop()
		return nil, c.failed(err, "start a program")
	}
	select {
	case err := <-answer:
		if err != nil {
			return nil, err
		}
		return process, nil
	case <-c.done:
		select {
		case err := <-answer:
			if err == nil {
				return process, nil
			}
			return nil, err
		default:
		}
		process.drop()
		return nil, c.failed(errEnded, "start a program")
	case <-ctx.Done():
		process.abandon()
		return nil, c.failed(ctx.Err(), "start a program")
	}
}

// startMessage checks what the wire could not carry.
func startMessage(p engine.Program, size *wire.Size) (*wire.Start, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if size != nil && p.Stdio[2] != nil {
		return nil, fault.New(fault.Invalid, fault.StageStdio, "a program with a terminal has no standard error of its own")
	}
	m := &wire.Start{
		UID: p.UID, GID: p.GID, Groups: p.Groups, Umask: wire.Unchanged, Terminal: size,
		Cwd: p.Cwd, Argv: p.Argv, Env: p.Env,
	}
	if p.Umask != nil {
		m.Umask = *p.Umask & 0o777
	}
	for _, l := range p.Rlimits {
		if l.Resource > unix.RLIMIT_RTTIME {
			return nil, fault.New(fault.Unsupported, fault.StageExec, "resource limit %d: linux has no such resource", l.Resource)
		}
		m.Rlimits = append(m.Rlimits, wire.Rlimit(l))
	}
	switch {
	case len(m.Groups) > wire.MaxGroups:
		return nil, fault.New(fault.Limit, fault.StageExec, "%d groups, at most %d are possible", len(m.Groups), wire.MaxGroups)
	case len(m.Rlimits) > wire.MaxRlimits:
		return nil, fault.New(fault.Limit, fault.StageExec, "%d resource limits, at most %d are possible", len(m.Rlimits), wire.MaxRlimits)
	case len(m.Argv)+len(m.Env) > wire.MaxArgs || len(m.Append(nil)) > wire.MaxHostFrame:
		e := fault.New(fault.Limit, fault.StageExec, "arguments and environment are too long")
		e.Errno = unix.E2BIG
		return nil, e
	}
	return m, nil
}

// openStreams takes the files. On error none is left open.
func (p *Process) openStreams(files [3]*os.File, m *wire.Start) error {
	for which, f := range files {
		if f == nil {
			continue
		}
		own, err := pollable(f)
		files[which] = nil
		if err != nil {
			closeFiles(files)
			p.closeFiles()
			return fault.Wrap(err, fault.IO, fault.StageStdio, "standard stream of a program")
		}
		m.Stdio[which] = wire.StdioPipe
		p.open++
		if which == 0 {
			p.input = newInput(p, own)
		} else {
			p.outputs[which-1] = newOutput(p, uint8(which), own)
		}
	}
	if m.Terminal == nil {
		return nil
	}
	// A terminal always has both streams: what nobody reads is dropped.
	if p.input == nil {
		p.input, p.open = newInput(p, nil), p.open+1
	}
	if p.outputs[0] == nil {
		p.outputs[0], p.open = newOutput(p, 1, nil), p.open+1
	}
	m.Stdio = [3]uint8{}
	return nil
}

// admit gives the program its number, by which the receiver finds it.
func (c *Client) admit(p *Process) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		return fault.New(fault.Gone, fault.StageEngine, "start a program: the machine has ended")
	default:
	}
	if len(c.programs) >= wire.MaxPrograms {
		return fault.New(fault.Limit, fault.StageEngine, "start a program: %d run or hold a stream open", len(c.programs))
	}
	if c.lastProgram == ^uint32(0) {
		return fault.New(fault.Limit, fault.StageEngine, "start a program: the machine has used up its numbers")
	}
	c.lastProgram++
	p.id = c.lastProgram
	c.programs[p.id] = p
	return nil
}

// startAnswered runs in the receiver: what the guest says next finds the program
// started, or gone.
func (p *Process) startAnswered(reply wire.Reply, program engine.Program) error {
	if err := startRefused(reply, program); err != nil {
		p.drop()
		return err
	}
	started, err := wire.DecodeStarted(reply.Body)
	if err != nil || started.PID == 0 || started.PID > 1<<30 {
		p.c.fail(wire.Error("reply without a process id"))
		return p.c.failed(errEnded, "start a program")
	}
	p.mu.Lock()
	p.pid, p.started = int(started.PID), true
	abandoned := p.abandoned
	p.mu.Unlock()
	p.runStreams()
	if abandoned {
		p.killLater()
	}
	return nil
}

func startRefused(reply wire.Reply, p engine.Program) error {
	if reply.Errno == 0 {
		return nil
	}
	errno := unix.Errno(reply.Errno)
	switch stage := fault.Stage(reply.Stage); {
	case reply.Stage == wire.StageRlimit && int(reply.Index) < len(p.Rlimits):
		return engine.RlimitRefused(p.Rlimits[reply.Index], errno)
	case stage == fault.StageExec, stage == fault.StageCwd:
		return engine.NotStarted(stage, errno, p)
	}
	return refused(reply, fault.IO, fault.StageEngine, "start a program")
}

// abandon gives up a program whose start was not answered in time.
func (p *Process) abandon() {
	p.mu.Lock()
	p.abandoned = true
	started := p.started
	p.mu.Unlock()
	if started {
		p.killLater()
	}
}

func (p *Process) killLater() { p.c.spawn(func() { p.Signal(unix.SIGKILL) }) }

// drop forgets a program that never ran.
func (p *Process) drop() {
	p.forget()
	p.finish()
	p.closeFiles()
}

// closeFiles closes the files of streams that never ran.
func (p *Process) closeFiles() {
	if p.input != nil {
		p.input.discard()
	}
	for _, out := range p.outputs {
		if out != nil {
			out.discard()
		}
	}
}

// runStreams begins to move data.
func (p *Process) runStreams() {
	if p.input != nil && p.input.file != nil && !p.c.spawn(p.input.run) {
		p.input.discard()
	}
	for _, out := range p.outputs {
		if out != nil && !p.c.spawn(out.run) {
			out.discard()
		}
	}
}
