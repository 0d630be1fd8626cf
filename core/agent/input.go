package agent

import (
	"context"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// input sends what a file gives to stream 0 of a program, as far as there is credit:
// it reads at most wire.InputWindow bytes ahead of the program.
type input struct {
	p    *Process
	file *os.File // nil: there is none
	wake chan struct{}

	mu      sync.Mutex
	credits uint32
	closed  bool // by the guest, or with the machine
}

func newInput(p *Process, file *os.File) *input {
	return &input{p: p, file: file, wake: make(chan struct{}, 1), credits: wire.InputWindow}
}

// pollable returns f's file in a form whose reads and writes Close and deadlines end,
// where the kernel can poll it, and closes f.
func pollable(f *os.File) (*os.File, error) {
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, os.NewSyscallError("dup", dupErr)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

func (in *input) run() {
	buf := make([]byte, wire.HeaderSize+wire.MaxData)
	for {
		n := in.awaitCredit()
		if n == 0 {
			break
		}
		got, err := in.file.Read(buf[wire.HeaderSize : wire.HeaderSize+n])
		if got > 0 && !in.send(buf[:wire.HeaderSize+got]) {
			break
		}
		if err != nil { // end of file, or one that cannot be read
			in.sendClose(0)
			if in.p.hangsUp {
				in.sendClose(1)
			}
			break
		}
	}
	in.file.Close()
}

func (in *input) sendClose(stream uint8) {
	in.p.c.send(context.Background(), frame(wire.Header{Kind: wire.KindClose, Stream: stream, ID: in.p.id}, nothing))
}

// awaitCredit returns how much may be read, 0 when nobody wants more.
func (in *input) awaitCredit() int {
	for {
		in.mu.Lock()
		n, closed := in.credits, in.closed
		in.mu.Unlock()
		switch {
		case closed:
			return 0
		case n > 0:
			return int(min(n, wire.MaxData))
		}
		<-in.wake
	}
}

// send sends a frame whose payload stands in its place already.
func (in *input) send(buf []byte) bool {
	n := uint32(len(buf) - wire.HeaderSize)
	in.mu.Lock()
	in.credits -= n
	in.mu.Unlock()
	wire.AppendHeader(buf[:0], wire.Header{Length: n, Kind: wire.KindData, ID: in.p.id})
	return in.p.c.send(context.Background(), buf) == nil
}

func (in *input) credit(n uint32) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed || n == 0 || n > wire.InputWindow-in.credits {
		return wire.Error("too much credit")
	}
	in.credits += n
	rouse(in.wake)
	return nil
}

// close ends it: nobody reads any more.
func (in *input) close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return wire.Error("stream ended twice")
	}
	in.closed = true
	rouse(in.wake)
	if in.file != nil {
		in.file.Close()
	}
	return nil
}

// discard closes what was never run.
func (in *input) discard() { in.close() }
