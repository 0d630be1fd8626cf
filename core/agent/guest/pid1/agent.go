package pid1

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// Agent serves one host over one port.
type Agent struct {
	poll   *poller
	port   *port
	null   int // /dev/null, for programs
	random int // /dev/urandom
	self   int // the agent's own executable

	// vm: the agent is the first process of a machine, and may switch it off. Else it
	// is one of a pid namespace, and the file systems are those of its mount namespace.
	vm       bool
	kill     killer
	launcher int // executable that starts programs

	configured bool
	cwd        string
	files      uint64 // hard limit of a program's open files
	upper      int    // descriptor of the upper layer, -1: none
	upperDisk  bool   // it is a disk
	shm        int    // descriptor of /dev/shm, -1: none
	memoryPeak uint64

	programs map[uint32]*program
	byPID    map[int]*program
	forked   chan struct{}
	reaped   chan struct{}
}

// New returns an agent that will speak over fd, which must be non-blocking.
func New(fd int, vm bool) (*Agent, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	a := &Agent{
		poll: poll, port: &port{fd: fd, poll: poll}, vm: vm, upper: -1, shm: -1,
		programs: map[uint32]*program{}, byPID: map[int]*program{},
		forked: make(chan struct{}, 1), reaped: make(chan struct{}, 1),
	}
	a.port.handle = a.handle
	if a.null, err = unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if a.random, err = unix.Open("/dev/urandom", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if a.self, err = unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, err
	}
	if a.launcher, err = newLauncher(); err != nil {
		return nil, err
	}
	a.kill = newKiller(a)
	return a, nil
}

// Run serves until the stream ends, and says why.
func (a *Agent) Run() error {
	runtime.LockOSThread() // its bounding set will be that of programs
	if err := a.port.start(); err != nil {
		return err
	}
	go a.watchChildren()
	for a.port.ended == nil {
		if err := a.poll.wait(); err != nil {
			return err
		}
		a.port.flush()
	}
	return a.port.ended
}

// handle takes one frame of the host.
func (a *Agent) handle(h wire.Header, payload []byte) {
	var err error
	switch h.Kind {
	case wire.KindHello:
		err = a.hello(h.ID, payload)
	case wire.KindConfigure:
		err = a.configure(h.ID, payload)
	case wire.KindStart:
		err = a.start(h.ID, payload)
	case wire.KindSignal:
		err = a.signal(h.ID, payload)
	case wire.KindSignalAll:
		err = a.signalAll(h.ID, payload)
	case wire.KindResize:
		err = a.resize(h.ID, payload)
	case wire.KindUsage:
		a.usage(h.ID)
	case wire.KindSync:
		a.sync(h.ID)
	case wire.KindPowerOff:
		a.powerOff()
	case wire.KindRenew:
		err = a.renew(h.ID, payload)
	default:
		err = a.stream(h, payload)
	}
	if err != nil {
		a.port.ended = err
	}
}

// stream takes a frame about a program's stream. One that crossed the end of its
// stream is late, not wrong.
func (a *Agent) stream(h wire.Header, payload []byte) error {
	p := a.programs[h.ID]
	if p == nil {
		return nil
	}
	good := true
	switch {
	case h.Stream == 0 && p.input != nil && h.Kind == wire.KindData:
		good = p.input.receive(payload)
	case h.Stream == 0 && p.input != nil && h.Kind == wire.KindClose:
		good = p.input.end()
	case h.Stream != 0 && p.outputs[h.Stream-1] != nil && h.Kind == wire.KindCredit:
		o := p.outputs[h.Stream-1]
		n := uint32(payload[0]) | uint32(payload[1])<<8 | uint32(payload[2])<<16 | uint32(payload[3])<<24
		if good = n <= wire.Window-o.credit; good {
			o.credit += n
			o.watch()
		}
	case h.Stream != 0 && p.outputs[h.Stream-1] != nil && h.Kind == wire.KindClose:
		p.outputs[h.Stream-1].close()
	default:
		good = false
	}
	if !good {
		return wire.Error("frame that does not fit its stream")
	}
	return nil
}

func (a *Agent) hello(id uint32, payload []byte) error {
	m, err := wire.DecodeHello(payload)
	if err != nil {
		return err
	}
	if m.Min > wire.Version || m.Max < wire.Version {
		a.refuse(id, unix.EPROTONOSUPPORT, 0, "version")
		return nil
	}
	var name unix.Utsname
	unix.Uname(&name)
	welcome := wire.Welcome{
		Version: wire.Version, Nonce: m.Nonce, Kill: a.kill.how(), Configured: a.configured,
		Kernel: unix.ByteSliceToString(name.Release[:]),
	}
	a.reply(id, welcome.Append(nil))
	return nil
}

func (a *Agent) reply(id uint32, body []byte) {
	m := wire.Reply{Body: body}
	a.port.frame(wire.Header{Kind: wire.KindReply, ID: id}, m.Append)
}

func (a *Agent) refuse(id uint32, err error, stage uint16, text string) {
	m := wire.Reply{Errno: errnoOf(err), Stage: stage, Text: text}
	a.port.frame(wire.Header{Kind: wire.KindReply, ID: id}, m.Append)
}

// answer replies with success, or with the error.
func (a *Agent) answer(id uint32, err error, text string) {
	if err != nil {
		a.refuse(id, err, 0, text)
		return
	}
	a.reply(id, nil)
}

func errnoOf(err error) uint32 {
	if errno, ok := err.(unix.Errno); ok && errno != 0 {
		return uint32(errno)
	}
	return uint32(unix.EIO)
}

// log tells the supervisor's log.
func (a *Agent) log(text string) {
	a.port.frame(wire.Header{Kind: wire.KindLog}, func(b []byte) []byte { return append(b, text[:min(len(text), wire.MaxText)]...) })
}
