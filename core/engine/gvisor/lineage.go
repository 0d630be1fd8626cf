package gvisor

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine"
)

// frame is one message between supervisor and sentry about programs.
type frame struct {
	kind    uint32
	pid     int32
	a, b, c uint64
	flags   uint64
}

const frameSize = 40

const (
	frameHello       uint32 = iota + 1 // a: number of the command, here and below
	frameKill                          // pid: end the program and all that it started
	frameForget                        // pid: its program has ended
	frameRenewLimits                   // the next program gets limits of its own
	frameDone                          // a: the command; b: 0, or 1 when it could not be carried out
	frameEnded                         // pid: program; a, b: cpu time of all and its own, in ns; c: peak in bytes; flags
	frameRefused                       // for the first time a process was one too many
	frameWatch                         // tell when code of the guest runs next; refused while it does
	frameStirred                       // it does
)

// Flags of frameEnded.
const (
	flagRefused     = 1 << iota // one of its processes was one too many
	flagOverlayFull             // no room for changes was left when it ended
	flagFilesFull               // one of its processes had as many open files as it may when it ended
)

func (f frame) encode() (buf [frameSize]byte) {
	binary.LittleEndian.PutUint32(buf[0:], f.kind)
	binary.LittleEndian.PutUint32(buf[4:], uint32(f.pid))
	binary.LittleEndian.PutUint64(buf[8:], f.a)
	binary.LittleEndian.PutUint64(buf[16:], f.b)
	binary.LittleEndian.PutUint64(buf[24:], f.c)
	binary.LittleEndian.PutUint64(buf[32:], f.flags)
	return buf
}

func decodeFrame(buf [frameSize]byte) frame {
	return frame{
		kind: binary.LittleEndian.Uint32(buf[0:]),
		pid:  int32(binary.LittleEndian.Uint32(buf[4:])),
		a:    binary.LittleEndian.Uint64(buf[8:]),
		b:    binary.LittleEndian.Uint64(buf[16:]),
		c:    binary.LittleEndian.Uint64(buf[24:]),

		flags: binary.LittleEndian.Uint64(buf[32:]),
	}
}

// maxEnded bounds what a sentry that went wrong can make the supervisor keep: each
// entry is for a program whose end is about to be told.
const maxEnded = 16384

// usage is what a program has used, as its lineage tells it.
type usage struct {
	all, own time.Duration
	peak     uint64
	flags    uint64
}

// lineageLink is the supervisor's end of the sentry's lineage.
type lineageLink struct {
	socket  *os.File
	gone    chan struct{} // closed when the sentry has closed its end
	refused atomic.Bool   // a process was one too many

	stirred chan struct{} // the guest runs again

	mu      sync.Mutex
	next    uint64
	pending map[uint64]chan error
	ended   map[int32]usage
	waiting map[int32]chan usage
}

// lineageSetup is what gVisor needs to give the sentry its end.
type lineageSetup struct {
	link           *lineageLink
	theirs, config *os.File
}

func newLineageLink(limits engine.Limits) (*lineageSetup, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), lineageName)
	text, err := json.Marshal(map[string]any{"trace_session": map[string]any{
		"name": "Default",
		"sinks": []any{map[string]any{"name": lineageName, "config": map[string]any{
			"fd": fds[1], configProcesses: limits.Processes, configOpenFiles: limits.OpenFiles,
		}}},
	}})
	if err == nil {
		err = unix.SetNonblock(fds[0], true)
	}
	var config *os.File
	if err == nil {
		config, err = memfile("lineage", text)
	}
	if err != nil {
		unix.Close(fds[0])
		theirs.Close()
		return nil, err
	}
	l := &lineageLink{
		socket: os.NewFile(uintptr(fds[0]), lineageName), gone: make(chan struct{}),
		stirred: make(chan struct{}, 1),
		pending: map[uint64]chan error{}, ended: map[int32]usage{}, waiting: map[int32]chan usage{},
	}
	return &lineageSetup{l, theirs, config}, nil
}

// Keys of the configuration that the sentry's end gets.
const (
	configProcesses = "processes"
	configOpenFiles = "open_files"
)

// path is the configuration's, for gVisor to open.
func (s *lineageSetup) path() string { return fmt.Sprintf("/proc/self/fd/%d", s.config.Fd()) }

// close gives up what the sentry has by now.
func (s *lineageSetup) close() {
	s.theirs.Close()
	s.config.Close()
}

var (
	errLineageGone = errors.New("the sentry has ended")
	errRefused     = errors.New("the sentry has refused")
)

// start reads what the sentry tells and makes sure that it listens: gVisor only
// warns when it does not.
func (l *lineageLink) start(ctx context.Context) error {
	go l.read()
	return l.call(ctx, frameHello, 0)
}

func (l *lineageLink) read() {
	defer close(l.gone)
	for {
		var buf [frameSize]byte
		n, err := l.socket.Read(buf[:])
		if err != nil {
			return
		}
		if n == frameSize {
			l.take(decodeFrame(buf))
		}
	}
}

func (l *lineageLink) take(f frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch f.kind {
	case frameDone:
		if done, ok := l.pending[f.a]; ok {
			delete(l.pending, f.a)
			if f.b != 0 {
				done <- errRefused
			}
			close(done)
		}
	case frameRefused:
		l.refused.Store(true)
	case frameStirred:
		select {
		case l.stirred <- struct{}{}:
		default:
		}
	case frameEnded:
		u := usage{time.Duration(f.a), time.Duration(f.b), f.c, f.flags}
		if waiting, ok := l.waiting[f.pid]; ok {
			delete(l.waiting, f.pid)
			waiting <- u
		} else if len(l.ended) < maxEnded {
			l.ended[f.pid] = u
		}
	}
}

// send sends a command; the channel is closed when it has been carried out.
func (l *lineageLink) send(kind uint32, pid int32) (<-chan error, error) {
	done := make(chan error, 1)
	l.mu.Lock()
	l.next++
	f := frame{kind: kind, pid: pid, a: l.next}
	l.pending[f.a] = done
	l.mu.Unlock()
	buf := f.encode()
	_, err := l.socket.Write(buf[:])
	if err != nil {
		l.mu.Lock()
		delete(l.pending, f.a)
		l.mu.Unlock()
	}
	return done, err
}

// await waits until a command has been carried out.
func (l *lineageLink) await(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-l.gone:
		return errLineageGone
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lineageLink) call(ctx context.Context, kind uint32, pid int32) error {
	done, err := l.send(kind, pid)
	if err != nil {
		return err
	}
	err = l.await(ctx, done)
	if err != nil {
		l.mu.Lock()
		maps.DeleteFunc(l.pending, func(_ uint64, c chan error) bool { return c == done })
		l.mu.Unlock()
	}
	return err
}

// usageWait bounds the wait for a usage: it is sent before the end is told, and
// not at all where another process of the guest traces the program.
const usageWait = 200 * time.Millisecond

// usage returns what an ended program has used; ok is false when that is
// unknown.
func (l *lineageLink) usage(pid int32) (u usage, ok bool) {
	l.mu.Lock()
	if u, ok = l.ended[pid]; ok {
		delete(l.ended, pid)
		l.mu.Unlock()
		return u, true
	}
	waiting := make(chan usage, 1)
	l.waiting[pid] = waiting
	l.mu.Unlock()
	timer := time.NewTimer(usageWait)
	defer timer.Stop()
	select {
	case u = <-waiting:
		return u, true
	case <-l.gone:
	case <-timer.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case u = <-waiting:
		return u, true
	default:
		delete(l.waiting, pid)
		return usage{}, false
	}
}

func (l *lineageLink) close() { l.socket.Close() }
