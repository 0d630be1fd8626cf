package pid1

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// program is one that was asked for, until it has ended and its streams, too.
type program struct {
	a       *Agent
	id      uint32
	request uint32 // the one that started it
	pid     int    // 0: not started
	family  family

	status  int // read end of the launcher's pipe while it starts, else -1
	input   *input
	outputs [2]*output
	open    int  // streams
	ended   bool // reaped
	exited  bool // that has been told

	terminal int    // master of its terminal, -1: none; its output's or input's, too
	peak     uint64 // largest resident size of one of its processes that ended, in bytes
}

// streamClosed runs when a stream has been closed by us.
func (p *program) streamClosed(stream uint8, live bool) {
	p.open--
	if live {
		p.a.port.frame(wire.Header{Kind: wire.KindClose, Stream: stream, ID: p.id}, nil)
	}
	p.forgetIfDone()
}

func (p *program) forgetIfDone() {
	if p.exited && p.open == 0 {
		delete(p.a.programs, p.id)
	}
}

// terminalFD is the master of the program's terminal, while somebody may use it.
func (p *program) terminalFD() int {
	if p.terminal < 0 || p.outputs[0].fd < 0 {
		return -1
	}
	return p.outputs[0].fd
}

// watchChildren wakes the loop when a child has ended. It runs in a thread of its own.
func (a *Agent) watchChildren() {
	for {
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
		switch err {
		case nil:
			a.poll.post(a.reap)
			<-a.reaped
		case unix.EINTR:
		default: // ECHILD: there is none
			<-a.forked
		}
	}
}

// siginfo is what waitid fills in.
type siginfo struct {
	signo, errno, code, _ int32
	pid                   int32
	uid                   uint32
	status                int32
	_                     [100]byte
}

// nextEnded is a child that has ended, and has not been reaped.
func nextEnded(flags int) (int, error) {
	var info siginfo
	err := unix.Waitid(unix.P_ALL, 0, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOWAIT|flags, nil)
	return int(info.pid), err
}

// reap collects all children that have ended.
func (a *Agent) reap() {
	for {
		pid, err := nextEnded(unix.WNOHANG)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid == 0 {
			break
		}
		a.reapOne(pid)
	}
	a.reaped <- struct{}{}
}

func (a *Agent) reapOne(pid int) {
	p := a.byPID[pid]
	owner := p
	if p == nil {
		owner = a.programs[a.kill.owner(pid)]
	}
	own := processTime(pid)
	var status unix.WaitStatus
	var used unix.Rusage
	if _, err := unix.Wait4(pid, &status, 0, &used); err != nil {
		return
	}
	if owner != nil {
		owner.peak = max(owner.peak, uint64(used.Maxrss)<<10)
	}
	if p == nil {
		a.kill.strayed(pid)
		return
	}
	delete(a.byPID, pid)
	p.hasEnded(status, own)
}

// processTime is the processor time of all threads of a process that may have ended,
// but has not been reaped: clock_getcpuclockid(3). The kernel measures it twice, exactly
// and in ticks; RLIMIT_CPU goes by the latter, so that the larger is told.
func processTime(pid int) uint64 {
	const ticks, exact = 0, 2
	var a, b unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|exact), &a) != nil || unix.ClockGettime(int32(^pid<<3|ticks), &b) != nil {
		return wire.Unknown
	}
	return uint64(max(a.Nano(), b.Nano()))
}

// hasEnded tells the host the end of a program, or why it was none.
func (p *program) hasEnded(status unix.WaitStatus, own uint64) {
	p.ended = true
	if p.status >= 0 {
		p.launched() // nothing can be said later
	}
	if p.exited { // it never ran
		p.family.ended()
		return
	}
	m := wire.Exited{Status: uint32(status), OwnCPUTime: own, CPUTime: p.family.cpuTime(own), MemoryPeak: p.peak}
	if p.family.refused() {
		m.Hit |= wire.HitProcesses
	}
	if p.a.overlayFull() {
		m.Hit |= wire.HitOverlay
	}
	for i, o := range p.outputs {
		if o == nil {
			continue
		}
		if p.terminal >= 0 {
			o.drain()
		}
		m.Written[i] = o.written()
	}
	p.a.port.frame(wire.Header{Kind: wire.KindExited, ID: p.id}, m.Append)
	p.exited = true
	p.family.ended()
	p.forgetIfDone()
}

// drain reads what a terminal holds: how much that is it does not tell.
func (o *output) drain() {
	for o.fd >= 0 && o.credit > 0 && o.read() > 0 {
	}
}
