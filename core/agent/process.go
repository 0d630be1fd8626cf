package agent

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Process is a program in the guest. It is an engine.Process.
type Process struct {
	c   *Client
	id  uint32
	pid int

	hangsUp bool       // the end of the input is that of the terminal
	input   *input     // nil: none
	outputs [2]*output // of streams 1 and 2; nil: none

	mu        sync.Mutex
	screen    *os.File // terminal of the host that shows that of the program
	open      int      // streams that the guest has not closed
	started   bool     // the reply to Start has come
	abandoned bool     // nobody waits for that reply: kill it
	over      bool     // its end has been told, or will not be
	told      bool     // exit is what was told
	exit      wire.Exited
	ended     chan struct{} // closed when over
	hurry     chan struct{} // closed: do not wait for outputs that nobody reads
	hurried   bool
}

func newProcess(c *Client) *Process {
	return &Process{c: c, ended: make(chan struct{}), hurry: make(chan struct{})}
}

// PID is the process id in the guest.
func (p *Process) PID() int { return p.pid }

// Wait returns how the program ended, once what it wrote before has reached its
// files. Where these take no more, it waits as the program itself would have had to,
// had it written there; a program that a signal ended is not waited for in that case,
// nor one that is signaled now.
func (p *Process) Wait() (syscall.WaitStatus, error) {
	<-p.ended
	p.mu.Lock()
	told, exit := p.told, p.exit
	p.mu.Unlock()
	if !told {
		return 0, p.c.failed(errEnded, "wait for program")
	}
	if syscall.WaitStatus(exit.Status).Signaled() {
		p.hurryIfEnded()
	}
	for i, out := range p.outputs {
		if out != nil {
			out.settle(exit.Written[i], p.hurry)
		}
	}
	return syscall.WaitStatus(exit.Status), nil
}

// hurryIfEnded ends Wait where only readers keep it.
func (p *Process) hurryIfEnded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over && !p.hurried {
		p.hurried = true
		close(p.hurry)
	}
	return p.over
}

// Usage is what the program has used; valid once Wait has returned.
func (p *Process) Usage() engine.ProgramUsage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.told {
		return engine.ProgramUsage{CPUTime: -1, OwnCPUTime: -1}
	}
	return engine.ProgramUsage{
		CPUTime: duration(p.exit.CPUTime), OwnCPUTime: duration(p.exit.OwnCPUTime), MemoryPeak: p.exit.MemoryPeak,
		ProcessesRefused: p.exit.Hit&wire.HitProcesses != 0, OverlayFull: p.exit.Hit&wire.HitOverlay != 0,
	}
}

// duration is what the guest says, if it can be one.
func duration(ns uint64) time.Duration {
	if ns > 1<<62 {
		return -1
	}
	return time.Duration(ns)
}

// Signal sends sig to the program. SIGKILL ends all that it has started, too.
func (p *Process) Signal(sig syscall.Signal) error { return p.signal(sig, wire.ToProcess) }

func (p *Process) signal(sig syscall.Signal, scope uint8) error {
	if sig < 1 || sig > 64 {
		return fault.New(fault.Invalid, fault.StageEngine, "signal %d: must be 1 to 64", int(sig))
	}
	if p.hurryIfEnded() {
		return p.hasEnded()
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.c.options.RequestTimeout)
	defer cancel()
	m := wire.Signal{Program: p.id, Signo: uint8(sig), Scope: scope}
	reply, err := p.c.ask(ctx, wire.KindSignal, m.Append)
	switch {
	case err != nil:
		return p.c.failed(err, "signal program")
	case syscall.Errno(reply.Errno) == unix.ESRCH:
		return p.hasEnded()
	}
	return refused(reply, fault.IO, fault.StageEngine, "signal program")
}

func (p *Process) hasEnded() error {
	e := fault.New(fault.Done, fault.StageEngine, "program %d has ended", p.pid)
	e.Errno = unix.ESRCH
	return e
}

// Resize sets the size of the program's terminal.
func (p *Process) Resize(size wire.Size) error {
	ctx, cancel := context.WithTimeout(context.Background(), p.c.options.RequestTimeout)
	defer cancel()
	m := wire.Resize{Program: p.id, Size: size}
	reply, err := p.c.ask(ctx, wire.KindResize, m.Append)
	switch {
	case err != nil:
		return p.c.failed(err, "resize terminal")
	case syscall.Errno(reply.Errno) == unix.ESRCH:
		return p.hasEnded()
	}
	return refused(reply, fault.IO, fault.StageEngine, "resize terminal")
}

// What the receiver calls.

func (p *Process) data(stream uint8, payload []byte) error {
	if stream == 0 || p.outputs[stream-1] == nil {
		return wire.Error("data of a stream that is none")
	}
	return p.outputs[stream-1].receive(payload)
}

func (p *Process) credit(stream uint8, n uint32) error {
	if stream != 0 || p.input == nil {
		return wire.Error("credit for a stream that is none")
	}
	return p.input.credit(n)
}

// streamClosed takes the last frame of a stream.
func (p *Process) streamClosed(stream uint8) error {
	var err error
	switch {
	case stream == 0 && p.input != nil:
		err = p.input.close()
	case stream != 0 && p.outputs[stream-1] != nil:
		err = p.outputs[stream-1].end()
	default:
		err = wire.Error("end of a stream that is none")
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.open--
	p.mu.Unlock()
	p.forgetIfDone()
	return nil
}

func (p *Process) hasExited(m wire.Exited) error {
	status := syscall.WaitStatus(m.Status)
	p.mu.Lock()
	if p.over || !p.started || !status.Exited() && !status.Signaled() {
		p.mu.Unlock()
		return wire.Error("end of a program that does not run")
	}
	p.exit, p.told, p.over = m, true, true
	p.mu.Unlock()
	if m.Hit&wire.HitProcesses != 0 {
		p.c.refused.Store(true)
	}
	close(p.ended)
	p.closeScreen()
	p.forgetIfDone()
	return nil
}

// forgetIfDone forgets the program once the guest can say nothing more about it.
func (p *Process) forgetIfDone() {
	p.mu.Lock()
	done := p.over && p.open == 0
	p.mu.Unlock()
	if done {
		p.forget()
	}
}

func (p *Process) forget() {
	p.c.mu.Lock()
	delete(p.c.programs, p.id)
	p.c.mu.Unlock()
}

// lost ends a program whose machine has ended.
func (p *Process) lost() {
	p.finish()
	p.closeScreen()
	p.closeStreams()
}

// finish lets those who wait for the end go on, unless it has come before.
func (p *Process) finish() {
	p.mu.Lock()
	over := p.over
	p.over = true
	p.mu.Unlock()
	if !over {
		close(p.ended)
	}
}

func (p *Process) closeStreams() {
	if p.input != nil {
		p.input.close()
	}
	for _, out := range p.outputs {
		if out != nil {
			out.abort()
		}
	}
}

func closeFiles(files [3]*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
