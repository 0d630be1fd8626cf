package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// Child is a supervisor that has proved its exec.
type Child struct {
	Pid      int
	Process  *Process
	Control  *control.Conn
	Watchdog *os.File // write end; closing it tells that the owner is gone
	stderr   *tail
}

// preparation is what a child gets, and our ends of it.
type preparation struct {
	offer  *control.Offer
	job    *winsys.Job
	own    Inherited
	null   *os.File
	stderr windows.Handle
}

// Start spawns msb with cfg and waits for its startup line until ctx ends. On
// error nothing is left but what the child has made: it has only its pid, or is nil
// when there never was one. The child is in a job of its own, which ends with this
// process, before its first instruction. It gets the handles of this package only,
// the environment of the system, the system's directory, and no console.
func Start(ctx context.Context, path string, cfg control.Config) (*Child, error) {
	child := &Child{}
	p := &preparation{}
	defer p.close()
	if err := child.prepare(p, cfg); err != nil {
		child.discard()
		return nil, fault.Wrap(err, fault.IO, fault.StageLaunch, "prepare supervisor")
	}
	handle, pid, err := p.spawn(path, cfg)
	if err != nil {
		child.discard()
		return nil, spawnError(path, err)
	}
	job := p.job
	p.job = nil // the process's from here on
	p.closeTheirs()
	child.Pid = pid
	var ours windows.Handle // the process's own may be closed when it ends
	self := windows.CurrentProcess()
	if err := windows.DuplicateHandle(self, handle, self, &ours, 0, false, windows.DUPLICATE_SAME_ACCESS); err == nil {
		defer windows.CloseHandle(ours)
	}
	if child.Process, err = newProcess(pid, handle, job); err != nil {
		job.Close() // ends it
		child.discard()
		return nil, fault.Wrap(err, fault.IO, fault.StageLaunch, "watch supervisor")
	}
	failpoint.Point("launch.spawned")
	if err = child.hear(ctx, p.offer, ours, path); err != nil {
		child.Process.Kill()
		<-child.Process.Done()
		child.discard()
		return child, err
	}
	return child, nil
}

// hear waits for the child's connection, and for its first line on it.
func (c *Child) hear(ctx context.Context, offer *control.Offer, handle windows.Handle, path string) error {
	conn, err := offer.Accept(ctx, c.Pid, handle)
	var line []byte
	if err == nil {
		c.Control = conn
		line, err = conn.ReadLine(ctx, maxStartup)
	} else if ctx.Err() == nil {
		err = io.EOF // it has ended
	}
	if err != nil {
		return c.startupError(ctx, path, err)
	}
	return parseStartup(line, path, c.Pid)
}

// prepare makes the child's handles and our ends of them.
func (c *Child) prepare(p *preparation, cfg control.Config) (err error) {
	if p.offer, err = control.NewOffer(); err != nil {
		return err
	}
	name, err := winsys.JobName()
	if err != nil {
		return err
	}
	if p.job, err = winsys.NewJob(name, winsys.Limits{KillOnClose: true}); err != nil {
		return err
	}
	data, err := json.Marshal(Handover{Config: cfg, Pipe: p.offer.Name(), Job: name})
	if err != nil {
		return err
	}
	if p.own.Config, err = newMapping(data); err != nil {
		return err
	}
	if c.Watchdog, p.own.Watchdog, err = winsys.Stream(false, true); err != nil {
		return err
	}
	ours, theirs, err := winsys.Stream(true, false)
	if err != nil {
		return err
	}
	p.stderr, c.stderr = theirs, newTail(ours)
	p.null, err = winsys.OpenNull()
	return err
}

func (p *preparation) spawn(path string, cfg control.Config) (windows.Handle, int, error) {
	args := supervisorArgs(cfg)
	dir, err := windows.GetSystemDirectory()
	if err != nil {
		return 0, 0, os.NewSyscallError("GetSystemDirectory", err)
	}
	null := windows.Handle(p.null.Fd())
	command := winsys.Command{
		Path: path, Args: append(args, p.own.argument()), Env: winsys.SystemEnv(), Dir: dir,
		Stdio:   [3]windows.Handle{null, null, p.stderr},
		Handles: []windows.Handle{p.own.Config, p.own.Watchdog},
		Jobs:    []*winsys.Job{p.job},
		Flags:   windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP,
	}
	if !cfg.Detached {
		return winsys.Spawn(command)
	}
	// Out of the host's own job, which may end it, where that allows it.
	command.Flags |= windows.CREATE_BREAKAWAY_FROM_JOB
	h, pid, err := winsys.Spawn(command)
	if errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		command.Flags &^= windows.CREATE_BREAKAWAY_FROM_JOB
		return winsys.Spawn(command)
	}
	return h, pid, err
}

// closeTheirs closes the child's ends: ours would keep its pipes open.
func (p *preparation) closeTheirs() {
	for _, h := range []*windows.Handle{&p.own.Config, &p.own.Watchdog, &p.stderr} {
		if *h != 0 {
			windows.CloseHandle(*h)
			*h = 0
		}
	}
	if p.null != nil {
		p.null.Close()
		p.null = nil
	}
}

func (p *preparation) close() {
	p.closeTheirs()
	if p.offer != nil {
		p.offer.Close()
	}
	if p.job != nil {
		p.job.Close()
	}
}

// discard closes what prepare made.
func (c *Child) discard() {
	if c.Watchdog != nil {
		c.Watchdog.Close()
	}
	if c.stderr != nil {
		c.stderr.close()
	}
	if c.Control != nil {
		c.Control.Close()
	}
}

// Why an executable cannot be started.
const (
	errMayNotRun    = windows.ERROR_ACCESS_DENIED
	errNotOfMachine = windows.ERROR_BAD_EXE_FORMAT
)

// tail keeps the end of what a child writes to its standard error.
type tail struct {
	file *os.File
	over chan struct{}

	mu   sync.Mutex
	last []byte
}

// tailBytes is how much is kept.
const tailBytes = 240

func newTail(file *os.File) *tail {
	t := &tail{file: file, over: make(chan struct{})}
	fault.Go("standard error of a supervisor", func() {
		defer close(t.over)
		buf := make([]byte, 4096)
		for {
			n, err := t.file.Read(buf)
			t.mu.Lock()
			t.last = append(t.last, buf[:n]...)
			t.last = t.last[max(len(t.last)-tailBytes, 0):]
			t.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	return t
}

func (t *tail) close() { t.file.Close() }

// tailWait bounds the wait for what a child that has ended left in its pipe.
const tailWait = 200 * time.Millisecond

func (c *Child) stderrTail() string {
	select {
	case <-c.stderr.over:
	case <-time.After(tailWait): // somebody else has the other end, or it lives
	}
	c.stderr.mu.Lock()
	defer c.stderr.mu.Unlock()
	if len(c.stderr.last) == 0 {
		return ""
	}
	return fmt.Sprintf(": stderr ends with %q", c.stderr.last)
}
