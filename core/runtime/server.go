package runtime

import (
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
)

const (
	// maxClients bounds connections besides the owner's.
	maxClients = 64
	// maxPrograms bounds programs that run at once in a sandbox.
	maxPrograms = 4096
	// maxQueue bounds what waits for a client that does not read: one event for
	// each program, and as many replies. A client that lets more pile up is cut
	// off; nobody else notices.
	maxQueue = 2 * maxPrograms
)

// client is one connection. Its writer owns the sending side.
type client struct {
	s     *supervisor
	conn  *control.Conn
	queue chan *control.Message
	sent  chan struct{} // closed when the writer has ended

	mu       sync.Mutex
	closed   bool
	programs map[uint64]*program
}

func (s *supervisor) newClient(conn *control.Conn) *client {
	return &client{
		s: s, conn: conn, programs: map[uint64]*program{},
		queue: make(chan *control.Message, maxQueue), sent: make(chan struct{}),
	}
}

// serve starts reader and writer of a connection; both end with it.
func (c *client) serve() {
	c.s.mu.Lock()
	c.s.clients[c] = struct{}{}
	c.s.mu.Unlock()
	go c.write()
	go c.read()
}

func (s *supervisor) accept(l interface {
	Accept() (*control.Conn, error)
}) {
	for {
		conn, err := l.Accept()
		if err != nil {
			select {
			case <-s.ending:
				return
			case <-time.After(100 * time.Millisecond): // no descriptors, perhaps
				continue
			}
		}
		s.mu.Lock()
		full := len(s.clients) > maxClients
		s.mu.Unlock()
		if full {
			conn.Close()
			continue
		}
		s.newClient(conn).serve()
	}
}

func (c *client) read() {
	defer c.close()
	for {
		m, fds, err := c.conn.Recv()
		if err != nil {
			return
		}
		if m.Type != control.Info {
			c.s.active()
		}
		if m.Type == control.Start {
			c.start(m, fds)
			continue
		}
		control.CloseAll(fds)
		body, err := c.handle(m)
		c.reply(m.ID, body, err)
	}
}

// handle serves the quick requests, in the order in which they come.
func (c *client) handle(m *control.Message) (any, error) {
	switch m.Type {
	case control.Info:
		return c.s.info(), nil
	case control.Stop:
		var req control.StopRequest
		if err := m.Into(&req); err != nil {
			return nil, malformed(err)
		}
		if req.IfAttached && !c.s.isAttached() {
			return control.StopReply{Ending: false}, nil
		}
		c.s.end(handle.CauseStopped, req.Grace)
		return control.StopReply{Ending: true}, nil
	case control.Resize:
		var req control.ResizeRequest
		if err := m.Into(&req); err != nil {
			return nil, malformed(err)
		}
		return nil, c.resize(req)
	case control.Drain:
		var req control.DrainRequest
		if err := m.Into(&req); err != nil {
			return nil, malformed(err)
		}
		c.s.drain(req.Deadline)
		return nil, nil
	case control.Detach:
		return nil, c.s.detach()
	case control.Adopt:
		var req control.AdoptRequest
		if err := m.Into(&req); err != nil {
			return nil, malformed(err)
		}
		if c != c.s.owner {
			return nil, fault.New(fault.Permission, fault.StageControl, "adopt: that is the owner's")
		}
		return nil, c.s.adopt(req)
	case control.Signal:
		var req control.SignalRequest
		if err := m.Into(&req); err != nil {
			return nil, malformed(err)
		}
		return nil, c.signal(req)
	}
	return nil, fault.New(fault.Unsupported, fault.StageControl, "unknown request %q", m.Type)
}

func malformed(err error) error {
	return fault.Wrap(err, fault.Invalid, fault.StageControl, "request")
}

func (c *client) signal(req control.SignalRequest) error {
	c.mu.Lock()
	p := c.programs[req.Program]
	c.mu.Unlock()
	if p == nil {
		return fault.New(fault.Done, fault.StageControl, "signal %d: the program has ended already", req.Signo)
	}
	if req.Signo < 1 || req.Signo > 64 {
		return fault.New(fault.Invalid, fault.StageControl, "signal %d: 1 to 64", req.Signo)
	}
	return p.signal(syscall.Signal(req.Signo))
}

func (s *supervisor) info() control.InfoReply {
	receipt := s.receipt()
	s.mu.Lock()
	defer s.mu.Unlock()
	return control.InfoReply{
		State: s.state, Engine: s.engine.Name(), Attached: s.attached, Pooled: s.waiting, Pid: os.Getpid(), Programs: len(s.programs),
		MemoryBytes: s.cfg.MemoryBytes, OverlayBytes: s.cfg.OverlayBytes,
		CreatedMS: s.created.UnixMilli(), Receipt: receipt, Limits: s.limitsInForce(),
	}
}

func (c *client) reply(id uint64, body any, err error) {
	m, merr := control.NewMessage(control.Reply, id, body)
	if merr != nil {
		m, err = &control.Message{Version: control.Protocol, Type: control.Reply, ID: id}, merr
	}
	if err != nil {
		m.Err = fault.From(err)
	}
	c.enqueue(m)
}

// post sends an event.
func (c *client) post(t control.Type, body any) {
	if m, err := control.NewMessage(t, 0, body); err == nil {
		c.enqueue(m)
	}
}

func (c *client) enqueue(m *control.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	select {
	case c.queue <- m:
	default:
		c.conn.Close() // the reader ends and cleans up
	}
}

func (c *client) write() {
	defer close(c.sent)
	for m := range c.queue {
		if err := c.conn.Send(m); err != nil {
			c.conn.Close()
		}
	}
}

// close ends the connection. Its programs go on: they belong to the sandbox.
func (c *client) close() {
	c.conn.Close()
	c.endQueue()
	c.s.mu.Lock()
	delete(c.s.clients, c)
	c.s.mu.Unlock()
}

func (c *client) endQueue() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		close(c.queue)
	}
}

// farewell tells every client how the sandbox ended, and waits until the queues
// are written, a slow client's for a second at most.
func (s *supervisor) farewell() {
	s.mu.Lock()
	event := control.EndedEvent{Cause: s.cause, Wall: time.Since(s.created), Limits: s.limits | s.refused()}
	clients := make([]*client, 0, len(s.clients))
	for c := range s.clients {
		clients = append(clients, c)
	}
	s.mu.Unlock()
	deadline := time.Now().Add(time.Second)
	for _, c := range clients {
		c.post(control.Ended, event)
		c.conn.SetDeadline(deadline)
		c.endQueue()
	}
	for _, c := range clients {
		<-c.sent
	}
}

// newProgram registers a program of a client, before anything can fail slowly.
func (c *client) newProgram(id uint64) (*program, error) {
	s := c.s
	s.mu.Lock()
	defer s.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.waiting:
		return nil, s.errWaiting("start program")
	case s.draining:
		return nil, fault.New(fault.State, fault.StageExec, "sandbox %q is draining: it starts no new programs", s.cfg.Name)
	case len(s.programs) >= maxPrograms:
		return nil, fault.New(fault.Limit, fault.StageExec, "%d programs run already in sandbox %q", maxPrograms, s.cfg.Name)
	case c.programs[id] != nil:
		return nil, fault.New(fault.Invalid, fault.StageControl, "program number %d is in use", id)
	}
	s.numbered++
	p := &program{client: c, id: id, number: s.numbered, created: time.Now()}
	s.programs[p] = struct{}{}
	c.programs[id] = p
	s.noticeIdle()
	return p, nil
}

// forget removes an ended program.
func (p *program) forget() {
	c := p.client
	c.mu.Lock()
	delete(c.programs, p.id)
	c.mu.Unlock()
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	delete(c.s.programs, p)
	c.s.noticeEmpty()
}
