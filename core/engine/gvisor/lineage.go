package gvisor

import (
	"context"
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
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
)

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
	theirs := os.NewFile(uintptr(fds[1]), wire.LineageName)
	text, err := json.Marshal(map[string]any{"trace_session": map[string]any{
		"name": "Default",
		"sinks": []any{map[string]any{"name": wire.LineageName, "config": map[string]any{
			wire.ConfigProcesses: limits.Processes, wire.ConfigOpenFiles: limits.OpenFiles,
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
		socket: os.NewFile(uintptr(fds[0]), wire.LineageName), gone: make(chan struct{}),
		stirred: make(chan struct{}, 1),
		pending: map[uint64]chan error{}, ended: map[int32]usage{}, waiting: map[int32]chan usage{},
	}
	return &lineageSetup{l, theirs, config}, nil
}

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
	return l.call(ctx, wire.Hello, 0)
}

func (l *lineageLink) read() {
	defer close(l.gone)
	for {
		var buf [wire.FrameSize]byte
		n, err := l.socket.Read(buf[:])
		if err != nil {
			return
		}
		if n == wire.FrameSize {
			l.take(wire.Decode(buf))
		}
	}
}

func (l *lineageLink) take(f wire.Frame) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch f.Kind {
	case wire.Done:
		if done, ok := l.pending[f.A]; ok {
			delete(l.pending, f.A)
			if f.B != 0 {
				done <- errRefused
			}
			close(done)
		}
	case wire.Refused:
		l.refused.Store(true)
	case wire.Stirred:
		select {
		case l.stirred <- struct{}{}:
		default:
		}
	case wire.Ended:
		u := usage{time.Duration(f.A), time.Duration(f.B), f.C, f.Flags}
		if waiting, ok := l.waiting[f.PID]; ok {
			delete(l.waiting, f.PID)
			waiting <- u
		} else if len(l.ended) < maxEnded {
			l.ended[f.PID] = u
		}
	}
}

// send sends a command; the channel is closed when it has been carried out.
func (l *lineageLink) send(kind uint32, pid int32) (<-chan error, error) {
	done := make(chan error, 1)
	l.mu.Lock()
	l.next++
	f := wire.Frame{Kind: kind, PID: pid, A: l.next}
	l.pending[f.A] = done
	l.mu.Unlock()
	buf := f.Encode()
	_, err := l.socket.Write(buf[:])
	if err != nil {
		l.mu.Lock()
		delete(l.pending, f.A)
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

const (
	// usageWait bounds the wait for a usage: it is sent before the end is told, and
	// not at all where another process of the guest traces the program.
	usageWait = 200 * time.Millisecond
	// killedWait is the same where the program was killed: it is sent when all that
	// the program had started is gone, too.
	killedWait = 5 * time.Second
)

// usage returns what an ended program has used; ok is false when that is
// unknown.
func (l *lineageLink) usage(pid int32, limit time.Duration) (u usage, ok bool) {
	l.mu.Lock()
	if u, ok = l.ended[pid]; ok {
		delete(l.ended, pid)
		l.mu.Unlock()
		return u, true
	}
	waiting := make(chan usage, 1)
	l.waiting[pid] = waiting
	l.mu.Unlock()
	timer := time.NewTimer(limit)
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
