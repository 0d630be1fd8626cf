package runtime

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/launch"
)

// program is one program of one client.
type program struct {
	client  *client
	id      uint64 // the client's
	number  uint64 // in the sandbox
	created time.Time

	mu      sync.Mutex
	process engine.Process // nil until it runs
	screen  *screen        // nil: it has no terminal
	kill    bool           // SIGKILL was asked for, before it ran perhaps
	expired bool           // its wall limit came first
	flooded bool           // its output limit came first
}

// start serves a start request; fds become ours.
func (c *client) start(m *control.Message, fds []int) {
	var req control.StartRequest
	err := m.Into(&req)
	if err == nil {
		err = checkStart(&req, len(fds))
	}
	var p *program
	if err == nil {
		p, err = c.newProgram(req.Program)
	}
	if err != nil {
		control.CloseAll(fds)
		c.reply(m.ID, nil, fault.Wrap(err, fault.Invalid, fault.StageControl, "start"))
		return
	}
	go p.run(m.ID, req, fds)
}

func checkStart(req *control.StartRequest, fds int) error {
	want, terminals := 0, 0
	for _, kind := range req.Stdio {
		switch kind {
		case control.StdioNull, control.StdioLog:
		case control.StdioOwn, control.StdioShare:
			want++
		case control.StdioPty:
			terminals++
		default:
			return fault.New(fault.Invalid, fault.StageControl, "unknown kind of stdio %d", kind)
		}
	}
	if terminals == len(req.Stdio) {
		want = 1
	} else if terminals > 0 {
		return fault.New(fault.Invalid, fault.StageControl, "%d streams of three are a terminal", terminals)
	}
	if want != fds {
		return fault.New(fault.Invalid, fault.StageControl, "%d descriptors for %d streams", fds, want)
	}
	if req.Stdio[0] == control.StdioLog {
		return fault.New(fault.Invalid, fault.StageControl, "stdin cannot be a log")
	}
	if len(req.Argv) == 0 {
		return fault.New(fault.Invalid, fault.StageControl, "no program name")
	}
	return nil
}

// run is the life of a program: start, reply, wait, event.
func (p *program) run(request uint64, req control.StartRequest, fds []int) {
	stdio, err := p.openStreams(&req, fds)
	if err != nil {
		p.forget()
		p.client.reply(request, nil, err)
		return
	}
	failpoint.Point("start.received")
	process, err := p.client.s.machine.Start(context.Background(), engine.Program{
		Argv: texts(req.Argv), Env: texts(req.Env), Cwd: string(req.Cwd), Stdio: stdio.guest,
		UID: req.UID, GID: req.GID, Groups: req.Groups, Umask: req.Umask, Rlimits: rlimits(req.Rlimits),
		Terminal: stdio.screen != nil,
	})
	if err != nil {
		stdio.close()
		err = startError(err, req.Argv[0])
		p.note(&req, "%v", err)
		p.forget()
		p.client.reply(request, nil, err)
		return
	}
	failpoint.Point("start.running")
	p.started(process)
	p.note(&req, "%s started, process %d", launch.Quote(req.Argv[0]), process.PID())
	p.client.reply(request, control.StartReply{Number: p.number}, nil)
	if stdio.screen != nil {
		go stdio.screen.forward(process) // until its close
	}
	stop := p.limitWall(req.WallLimit, process)
	status, err := process.Wait()
	stop()
	wall := time.Since(p.created)
	failpoint.Point("exit.seen")
	stdio.flush(p.client.s.ending)
	p.note(&req, "%s", exitText(status, err))
	if err == nil {
		event := p.exited(status, process.Usage(), req.Rlimits, wall)
		p.client.s.met(event.Limits | handle.LimitOf(event.Cause))
		p.client.post(control.Exited, event)
	}
	stdio.screen.close()
	if err != nil || status.Signaled() && status.Signal() == syscall.SIGKILL {
		p.client.s.awaitMachine()
	}
	p.forget()
}

// lostWith is how long a machine's own end may come after that of its programs: 5 ms
// were measured.
const lostWith = 200 * time.Millisecond

// awaitMachine waits during a drain for the end of a machine that a program may
// have got lost with. The program's end must not be taken for that of the drain.
func (s *supervisor) awaitMachine() {
	s.mu.Lock()
	draining := s.draining
	s.mu.Unlock()
	if !draining {
		return
	}
	select {
	case <-s.machine.Done():
	case <-s.ending:
	case <-time.After(lostWith):
	}
}

// startError lets the engine's own error through and explains any other.
func startError(err error, argv0 []byte) error {
	var own *fault.Error
	if errors.As(err, &own) {
		return own
	}
	return fault.Wrap(err, fault.Exec, fault.StageExec, "start "+launch.Quote(argv0))
}

func texts(in [][]byte) []string {
	out := make([]string, len(in))
	for i, b := range in {
		out[i] = string(b)
	}
	return out
}

func (p *program) started(process engine.Process) {
	p.mu.Lock()
	p.process = process
	kill := p.kill || p.flooded
	p.mu.Unlock()
	if kill {
		process.Signal(syscall.SIGKILL)
	}
}

// signal reaches a program that runs; one that is still starting remembers a
// SIGKILL.
func (p *program) signal(sig syscall.Signal) error {
	p.mu.Lock()
	process := p.process
	if sig == syscall.SIGKILL && !p.expired && !p.flooded {
		p.kill = true
	}
	p.mu.Unlock()
	if process == nil {
		if sig == syscall.SIGKILL {
			return nil
		}
		return fault.New(fault.State, fault.StageControl, "signal %d: the program is still starting", sig)
	}
	err := process.Signal(sig)
	if errors.Is(err, syscall.ESRCH) || errors.Is(err, os.ErrProcessDone) {
		return fault.New(fault.Done, fault.StageControl, "signal %d: the program has ended already", sig)
	}
	return err
}
