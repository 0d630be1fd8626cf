package handle

import (
	"context"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/terminal"
)

// resizeTimeout bounds a supervisor that does not answer.
const resizeTimeout = 10 * time.Second

// openTerminal keeps the master, which nobody else ever has, and returns the slave.
func (p *Process) openTerminal(size terminal.Size) (kinds [3]control.Stdio, fds []int, err error) {
	master, slave, err := terminal.Open(size)
	if err != nil {
		return kinds, nil, fault.Wrap(err, fault.IO, fault.StageStdio, "start program: terminal")
	}
	p.ends[0], p.terminal = master, true
	return [3]control.Stdio{control.StdioPty, control.StdioPty, control.StdioPty}, []int{slave}, nil
}

// Resize gives the program's terminal a size: what is in its foreground gets SIGWINCH.
func (p *Process) Resize(size terminal.Size) error {
	if err := size.Check(); err != nil {
		return err
	}
	p.mu.Lock()
	state, isTerminal := p.state, p.terminal
	p.mu.Unlock()
	switch {
	case !isTerminal:
		return fault.New(fault.State, fault.NoStage, "resize: the program has no terminal: see MSB_STDIO_PTY")
	case state == StateStarting:
		return fault.New(fault.State, fault.NoStage, "resize: the program is still starting: wait for MSB_EVENT_READY")
	case state == StateStopped:
		return fault.New(fault.Done, fault.NoStage, "resize: the program has ended already")
	}
	client, err := p.sandbox.connection("resize")
	if err != nil {
		return err
	}
	timedOut := fault.New(fault.TimedOut, fault.StageControl, "resize: the supervisor did not answer within %v", resizeTimeout)
	ctx, cancel := context.WithTimeoutCause(context.Background(), resizeTimeout, timedOut)
	defer cancel()
	return client.Call(ctx, control.Resize, control.ResizeRequest{Program: p.id, Rows: size.Rows, Cols: size.Cols}, nil)
}
