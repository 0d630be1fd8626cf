package handle

import (
	"context"
	"sync"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/terminal"
)

// Program is what to run, validated and complete.
type Program struct {
	Argv, Env []string
	Cwd       string
	Stdio     [3]Stdio
	Window    terminal.Size // of the terminal, where Stdio is one
	Timeout   time.Duration // for the start
	UID, GID  uint32
	Groups    []uint32
	Umask     *uint32 // nil = 022
	Rlimits   []Rlimit
	WallLimit time.Duration // 0 = none
	// OutputLimit bounds the bytes of stdout and stderr together; 0 = none.
	OutputLimit uint64
	Overlapped  bool // our ends of pipes take overlapped I/O only; where there is such a thing
}

// Rlimit is a resource limit of a program.
type Rlimit = control.Rlimit

// Process is a handle on one program. All methods are safe for concurrent use.
type Process struct {
	sandbox *Sandbox
	id      uint64
	ready   chan struct{}
	done    chan struct{}
	closed  chan struct{} // the handle was given up while starting

	mu       sync.Mutex
	state    uint32 // StateStarting, StateRunning, StateStopped
	startErr error
	outcome  Outcome
	number   uint64 // in the sandbox, 0 while starting
	ends     [3]int // our pipe ends, -1 when none or taken; of a terminal the master is the first
	terminal bool   // all three streams are one
	gaveUp   bool
}

// Start starts a program and returns at once, in state starting. The sandbox may
// itself still be starting.
func (s *Sandbox) Start(prog Program) (*Process, error) {
	p := &Process{
		sandbox: s, ready: make(chan struct{}), done: make(chan struct{}), closed: make(chan struct{}),
		state: StateStarting, ends: [3]int{-1, -1, -1},
	}
	kinds, fds, err := p.openStdio(prog)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if err := s.refuseStart(); err != nil {
		s.mu.Unlock()
		control.CloseAll(fds)
		p.closeEnds()
		return nil, err
	}
	s.nextID++
	p.id = s.nextID
	s.programs[p.id] = p
	s.mu.Unlock()
	fault.Go("start program", func() {
		defer control.CloseAll(fds)
		p.start(prog, kinds, fds)
	})
	return p, nil
}

// refuseStart says why no program can start any more. Called with mu held.
func (s *Sandbox) refuseStart() error {
	switch {
	case s.phase == StateStopped:
		return s.errDone("start program")
	case s.draining:
		return fault.New(fault.State, fault.StageExec, "start program: sandbox %q is draining: it starts no new programs", s.name)
	}
	return nil
}

// start sends the request once the sandbox is up.
func (p *Process) start(prog Program, kinds [3]control.Stdio, fds []int) {
	s := p.sandbox
	timer := time.NewTimer(prog.Timeout)
	defer timer.Stop()
	timedOut := fault.New(fault.TimedOut, fault.StageExec, "program %q did not start within %v", prog.Argv[0], prog.Timeout)
	select {
	case <-s.ready:
	case <-timer.C:
		p.failed(timedOut)
		return
	case <-p.closed:
		p.failed(errClosed)
		return
	}
	if err := s.StartErr(); err != nil {
		p.failed(fault.Wrap(err, fault.Gone, fault.StageExec, "start program: its sandbox did not start"))
		return
	}
	client, err := s.connection("start program")
	if err != nil {
		p.failed(err)
		return
	}
	req := control.StartRequest{
		Program: p.id, Stdio: kinds, Cwd: []byte(prog.Cwd), Argv: byteSlices(prog.Argv), Env: byteSlices(prog.Env),
		UID: prog.UID, GID: prog.GID, Groups: prog.Groups, Umask: prog.Umask, Rlimits: prog.Rlimits, WallLimit: prog.WallLimit,
		OutputLimit: prog.OutputLimit,
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stop := time.AfterFunc(prog.Timeout, func() { cancel(timedOut) })
	defer stop.Stop()
	var reply control.StartReply
	if err = client.Call(ctx, control.Start, req, &reply, fds...); err != nil {
		if ctx.Err() != nil { // it may still come up: not without anybody to wait for it
			s.request(client, control.Signal, control.SignalRequest{Program: p.id, Signo: int(sigKill)})
		}
		p.failed(err)
		return
	}
	p.running(reply.Number)
}

func byteSlices(in []string) [][]byte {
	out := make([][]byte, len(in))
	for i, s := range in {
		out[i] = []byte(s)
	}
	return out
}

// Ready is closed once the program has started or failed to.
func (p *Process) Ready() <-chan struct{} { return p.ready }

// Done is closed once the program has ended or failed to start.
func (p *Process) Done() <-chan struct{} { return p.done }

// StartErr is why the start failed; valid once Ready is closed.
func (p *Process) StartErr() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.startErr
}

// Outcome is how the program ended; valid once Done is closed.
func (p *Process) Outcome() Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcome
}

// Number is the program's number in its sandbox, by which the log knows it; 0 while
// it starts, or when it never ran.
func (p *Process) Number() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.number
}

func (p *Process) numbered(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number = number
}

func (p *Process) running(number uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.number = number
	if p.state == StateStarting {
		p.state = StateRunning
		close(p.ready)
	}
}

// failed ends a program that never ran.
func (p *Process) failed(err error) {
	p.end(ended(CauseStartFailed), fault.From(err))
}

// end publishes the outcome, once.
func (p *Process) end(out Outcome, startErr error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state == StateStopped {
		return
	}
	starting := p.state == StateStarting
	if starting {
		p.startErr = startErr
	}
	p.state, p.outcome = StateStopped, out
	close(p.done)
	if starting {
		close(p.ready) // last, as in failStart
	}
	p.sandbox.forget(p.id)
}

// forget drops a program that has ended. Called with p.mu held: s.mu is always
// taken last.
func (s *Sandbox) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.programs, id)
}

func (s *Sandbox) programExited(e control.ExitedEvent) {
	s.mu.Lock()
	p := s.programs[e.Program]
	s.mu.Unlock()
	if p != nil {
		p.numbered(e.Number)
		p.end(Outcome{
			Cause: e.Cause, ExitCode: e.Code, Signal: e.Signal, WallTime: e.Wall, CPUTime: e.CPU, MemoryPeak: e.MemoryPeak,
			Limits: e.Limits | LimitOf(e.Cause),
		}, nil)
	}
}

// endPrograms ends all programs of a sandbox that is gone.
func (s *Sandbox) endPrograms(cause uint32) {
	s.mu.Lock()
	programs := make([]*Process, 0, len(s.programs))
	for _, p := range s.programs {
		programs = append(programs, p)
	}
	startErr := s.startErr
	s.mu.Unlock()
	for _, p := range programs {
		err := error(fault.New(fault.Gone, fault.StageExec, "start program: sandbox %q ended", s.name))
		if startErr != nil {
			err = fault.Wrap(startErr, fault.Gone, fault.StageExec, "start program: its sandbox did not start")
		}
		p.end(ended(cause), err)
	}
}

// Signal sends a signal, 1 to 64, to the program.
func (p *Process) Signal(signo int) error {
	if signo < 1 || signo > 64 {
		return fault.New(fault.Invalid, fault.StageArgument, "signal %d: a program takes 1 to 64", signo)
	}
	p.mu.Lock()
	state := p.state
	p.mu.Unlock()
	switch state {
	case StateStarting:
		return fault.New(fault.State, fault.NoStage, "kill: the program is still starting: wait for MSB_EVENT_READY")
	case StateStopped:
		return fault.New(fault.Done, fault.NoStage, "kill: the program has ended already")
	}
	client, err := p.sandbox.connection("kill")
	if err != nil {
		return err
	}
	logf(p.sandbox.name, p.sandbox.pid.Load(), "signal %d to program %d", signo, p.id)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return client.Call(ctx, control.Signal, control.SignalRequest{Program: p.id, Signo: signo}, nil)
}

// Stdio hands over our end of a pipe; the caller closes it.
func (p *Process) Stdio(which int) (int, error) {
	if which < 0 || which > 2 {
		return -1, fault.New(fault.Invalid, fault.StageArgument, "stdio %d: 0, 1 or 2", which)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		which = 0
	}
	fd := p.ends[which]
	if fd < 0 && p.terminal {
		return -1, fault.New(fault.State, fault.StageStdio, "stdio: the master of the terminal was taken already")
	}
	if fd < 0 {
		return -1, fault.New(fault.State, fault.StageStdio, "stdio %d is not a pipe, or its end was taken already", which)
	}
	p.ends[which] = -1
	return fd, nil
}

// Close gives the handle up: the program goes on, a start that has not been sent
// is dropped, pipe ends that were not taken are closed. Idempotent.
func (p *Process) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.gaveUp {
		p.gaveUp = true
		close(p.closed)
		p.closeEnds()
	}
}

func (p *Process) closeEnds() {
	for i, fd := range p.ends {
		if fd >= 0 {
			control.CloseAll([]int{fd})
			p.ends[i] = -1
		}
	}
}

// Stdio is one standard stream as the caller asked for it: MSB_STDIO_*.
type Stdio struct {
	Kind uint32
	FD   int // for StdioFD
}

// The kinds of stdio: MSB_STDIO_* in the header.
const (
	StdioNull    uint32 = 0
	StdioPipe    uint32 = 1
	StdioFD      uint32 = 2
	StdioInherit uint32 = 3
	StdioPty     uint32 = 4
	StdioLog     uint32 = 5
)

// openStdio makes the descriptors that travel with the request.
func (p *Process) openStdio(prog Program) (kinds [3]control.Stdio, fds []int, err error) {
	if prog.Stdio[0].Kind == StdioPty {
		return p.openTerminal(prog.Window)
	}
	for i, s := range prog.Stdio {
		fd := -1
		switch s.Kind {
		case StdioNull:
			continue
		case StdioLog:
			if i > 0 {
				kinds[i] = control.StdioLog
				continue
			}
			err = fault.New(fault.Invalid, fault.StageArgument, "stdio 0: a log is for stdout and stderr only")
		case StdioPipe:
			kinds[i] = control.StdioOwn
			fd, err = p.openPipe(i, prog.Overlapped)
		case StdioFD, StdioInherit:
			kinds[i] = control.StdioShare
			given := s.FD
			if s.Kind == StdioInherit {
				given = standard(i)
			}
			if fd, err = duplicate(given); err == errNotOpen {
				err = fault.New(fault.Invalid, fault.StageStdio, "stdio %d: descriptor %d is not open", i, given)
			}
		default:
			err = fault.New(fault.Invalid, fault.StageArgument, "stdio %d: unknown kind %d", i, s.Kind)
		}
		if err != nil {
			control.CloseAll(fds)
			p.closeEnds()
			return kinds, nil, fault.Wrap(err, fault.IO, fault.StageStdio, "start program")
		}
		fds = append(fds, fd)
	}
	return kinds, fds, nil
}

// openPipe keeps our end and returns the guest's.
func (p *Process) openPipe(which int, overlapped bool) (int, error) {
	fds, err := newPipe(which, overlapped)
	if err != nil {
		return -1, err
	}
	if which == 0 {
		p.ends[0] = fds[1]
		return fds[0], nil
	}
	p.ends[which] = fds[0]
	return fds[1], nil
}
