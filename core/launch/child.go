package launch

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// startupError says why there was no startup line.
func (c *Child) startupError(ctx context.Context, path string, err error) error {
	if ctx.Err() != nil {
		cause := context.Cause(ctx)
		if errors.Is(cause, &fault.Error{Code: fault.TimedOut}) {
			return fault.New(fault.TimedOut, fault.StageLaunch, "%s: no startup line in time: is it msb?%s", path, c.stderrTail())
		}
		return cause
	}
	if !errors.Is(err, io.EOF) {
		return fault.Wrap(err, fault.Launch, fault.StageLaunch, path+": read startup line")
	}
	// Its pipe is closed: it has exited, or is no supervisor and goes on.
	select {
	case <-c.Process.Done():
		return fault.New(fault.Launch, fault.StageLaunch, "%s: %s before its startup line%s", path, c.Process.Status(), c.stderrTail())
	case <-time.After(time.Second):
		return fault.New(fault.Launch, fault.StageLaunch, "%s: closed its startup pipe: not a supervisor%s", path, c.stderrTail())
	}
}

// supervisorArgs are the words on a supervisor's command line: labels only.
func supervisorArgs(cfg control.Config) []string {
	args := append([]string{"msb", SuperviseCommand, "--name=" + cfg.Name}, store.Labels(cfg.StateDir, cfg.OwnerPid)...)
	if cfg.Engine != "" {
		args = append(args, "--engine="+cfg.Engine)
	}
	return args
}

func spawnError(path string, err error) error {
	e := fault.Wrap(err, fault.Launch, fault.StageLaunch, "start "+path)
	if e.Code == fault.IO {
		e.Code = fault.Launch
	}
	switch {
	case errors.Is(err, errMayNotRun):
		e.Message += ": msb must be an executable file that you may run"
	case errors.Is(err, errNotOfMachine):
		e.Message += ": not an executable of this machine"
	}
	return e
}

// StderrTail returns the end of what the child wrote to its standard error, in
// one line with a leading separator, or "".
func (c *Child) StderrTail() string { return c.stderrTail() }

// Release closes what remains of the child's start besides Process.
func (c *Child) Release() { c.discard() }
