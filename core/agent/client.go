package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// Options of a Client; zero values are defaults.
type Options struct {
	// Log takes lines for the supervisor's log: the agent's, and protocol errors.
	Log func(format string, args ...any)
	// RequestTimeout bounds requests that the guest answers at once, where the
	// context has no earlier end: 10 s.
	RequestTimeout time.Duration
	// WriteTimeout is how long the port may take no bytes before the guest is given
	// up: 30 s.
	WriteTimeout time.Duration
}

// maxPending bounds the requests without an answer.
const maxPending = 1024

// Client talks to one agent. All methods may be called from any goroutine.
type Client struct {
	port    io.ReadWriteCloser
	options Options
	done    chan struct{} // closed when the stream has ended
	sending chan struct{} // full while a frame is being written
	workers sync.WaitGroup
	refused atomic.Bool // a program was, a process

	mu          sync.Mutex
	err         error // why the stream ended
	closing     bool  // the end was asked for: it is no failure
	lastRequest uint32
	lastProgram uint32
	pending     map[uint32]func(wire.Reply) // what takes the answer; nil: nobody
	programs    map[uint32]*Process
	logged      int
}

// NewClient takes ownership of the port. Its Close must end a Read and a Write that
// are under way, as those of sockets do.
func NewClient(port io.ReadWriteCloser, options Options) *Client {
	if options.Log == nil {
		options.Log = func(string, ...any) {}
	}
	if options.RequestTimeout <= 0 {
		options.RequestTimeout = 10 * time.Second
	}
	if options.WriteTimeout <= 0 {
		options.WriteTimeout = 30 * time.Second
	}
	c := &Client{
		port: port, options: options, done: make(chan struct{}), sending: make(chan struct{}, 1),
		pending: map[uint32]func(wire.Reply){}, programs: map[uint32]*Process{},
	}
	c.workers.Go(c.receive)
	return c
}

// Done is closed when the stream to the agent has ended. No program can be reached
// any more.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err tells why the stream ended: nil after Close and PowerOff, io.EOF when the guest
// ended by itself, else what it did wrong. Valid once Done is closed.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// ProcessesRefused reports whether a program that has ended met Config.Processes.
func (c *Client) ProcessesRefused() bool { return c.refused.Load() }

// Close ends the stream and returns when no goroutine of the client runs any more. What
// the programs' outputs take without waiting is still delivered. Idempotent.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.fail(nil)
	c.workers.Wait()
	return nil
}

// fail ends the stream; the first reason counts.
func (c *Client) fail(err error) {
	c.mu.Lock()
	select {
	case <-c.done:
		c.mu.Unlock()
		return
	default:
	}
	if c.closing {
		err = nil
	}
	c.err = err
	close(c.done)
	programs := make([]*Process, 0, len(c.programs))
	for _, p := range c.programs {
		programs = append(programs, p)
	}
	c.mu.Unlock()
	c.port.Close()
	for _, p := range programs {
		p.lost()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.options.Log("guest agent: %v", err)
	}
}

// Hello waits until the agent answers, and agrees on the version.
func (c *Client) Hello(ctx context.Context) (wire.Welcome, error) {
	var nonce [8]byte
	rand.Read(nonce[:])
	hello := wire.Hello{Min: wire.Version, Max: wire.Version, Nonce: binary.LittleEndian.Uint64(nonce[:])}
	reply, err := c.ask(ctx, wire.KindHello, hello.Append)
	if err != nil {
		return wire.Welcome{}, c.failed(err, "greet the guest agent")
	}
	if reply.Errno != 0 {
		return wire.Welcome{}, fault.New(fault.Boot, fault.StageEngine, "the guest agent speaks another version of the protocol: install the msb that belongs to it")
	}
	welcome, err := wire.DecodeWelcome(reply.Body)
	if err == nil && (welcome.Nonce != hello.Nonce || welcome.Version != wire.Version) {
		err = wire.Error("welcome for another hello")
	}
	if err != nil {
		c.fail(err)
		return wire.Welcome{}, c.failed(err, "greet the guest agent")
	}
	welcome.Kernel = clean(welcome.Kernel)
	return welcome, nil
}

// Configure makes the guest's root and mounts. It is called once.
func (c *Client) Configure(ctx context.Context, config *wire.Config) error {
	if len(config.Mounts) > wire.MaxMounts {
		return fault.New(fault.Limit, fault.StageRoot, "%d mounts, at most %d are possible", len(config.Mounts), wire.MaxMounts)
	}
	reply, err := c.ask(ctx, wire.KindConfigure, config.Append)
	if err != nil {
		return c.failed(err, "configure the guest")
	}
	return refused(reply, fault.Boot, fault.StageRoot, "configure the guest")
}

// Renew sets what must differ between clones of a machine: clock, entropy, host name.
func (c *Client) Renew(ctx context.Context, renewal wire.Renewal) error {
	return c.simple(ctx, wire.KindRenew, renewal.Append, "renew the guest")
}

// Sync returns when the guest has flushed its file systems.
func (c *Client) Sync(ctx context.Context) error {
	return c.simple(ctx, wire.KindSync, nothing, "flush the guest's files")
}

// SignalAll sends sig to all programs and all that they started.
func (c *Client) SignalAll(ctx context.Context, sig syscall.Signal) error {
	for _, p := range c.running() {
		p.hurryIfEnded()
	}
	signal := wire.Signal{Signo: uint8(sig)}
	return c.simple(ctx, wire.KindSignalAll, signal.Append, "signal all programs")
}

// Usage asks what the guest's kernel counts.
func (c *Client) Usage(ctx context.Context) (wire.Usage, error) {
	reply, err := c.ask(ctx, wire.KindUsage, nothing)
	if err != nil {
		return wire.Usage{}, c.failed(err, "usage")
	}
	if err := refused(reply, fault.IO, fault.StageEngine, "usage"); err != nil {
		return wire.Usage{}, err
	}
	usage, err := wire.DecodeUsage(reply.Body)
	if err != nil {
		c.fail(err)
		return wire.Usage{}, c.failed(err, "usage")
	}
	return usage, nil
}

// PowerOff kills all programs, flushes the file systems, and ends the guest. It returns
// nil once the stream has ended.
func (c *Client) PowerOff(ctx context.Context) error {
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	_, err := c.ask(ctx, wire.KindPowerOff, nothing)
	if err == nil {
		c.fail(wire.Error("the guest answered instead of ending"))
		return fault.New(fault.IO, fault.StageEngine, "power off the guest: it goes on")
	}
	select {
	case <-c.done:
		return nil
	default:
		return c.failed(err, "power off the guest")
	}
}

// spawn runs f in a goroutine that Close waits for, unless the stream has ended.
func (c *Client) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.done:
		return false
	default:
	}
	c.workers.Go(f)
	return true
}

func nothing(b []byte) []byte { return b }

func (c *Client) running() []*Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*Process, 0, len(c.programs))
	for _, p := range c.programs {
		all = append(all, p)
	}
	return all
}
