package gvisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// remoteError is an error that the sentry reports: text only.
type remoteError string

func (e remoteError) Error() string { return string(e) }

// rpcPool calls the sentry's control server. A connection carries one call at
// a time, so a call that blocks (waiting for a program) has one of its own:
// connections are made as needed without a limit, and a few idle ones are kept.
type rpcPool struct {
	address string
	mu      sync.Mutex
	idle    []*net.UnixConn
	closed  bool
}

// maxIdle bounds the kept connections; each costs the sentry a thread.
const maxIdle = 4

var errPoolClosed = errors.New("the machine has ended")

func (p *rpcPool) take() (*net.UnixConn, error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, errPoolClosed
	}
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	return dial(p.address)
}

// dial connects with a blocking call: the sentry's queue of connections holds
// one, and a connect that may not block fails while it is full.
func dial(address string) (*net.UnixConn, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), "control")
	defer f.Close()
	limit := unix.NsecToTimeval(int64(rpcTimeout))
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	for {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: address})
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{}); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}

func (p *rpcPool) give(c *net.UnixConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		c.Close()
		return
	}
	p.idle = append(p.idle, c)
}

func (p *rpcPool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
}

// call runs a method of the sentry. files go with the request and stay the
// caller's; received ones are returned and the caller's. A call that ctx ends
// goes on in the sentry; only its answer is lost.
func (p *rpcPool) call(ctx context.Context, method string, arg, result any, files ...*os.File) ([]*os.File, error) {
	c, err := p.take()
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	received, err := exchange(c, method, arg, result, files)
	var remote remoteError
	if stop() && (err == nil || errors.As(err, &remote)) {
		p.give(c)
	} else {
		c.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	return received, err
}

func exchange(c *net.UnixConn, method string, arg, result any, files []*os.File) ([]*os.File, error) {
	request, err := json.Marshal(struct {
		Method string `json:"method"`
		Arg    any    `json:"arg"`
	}{method, arg})
	if err != nil {
		return nil, err
	}
	if err := send(c, request, files); err != nil {
		return nil, fmt.Errorf("%s: send: %w", method, err)
	}
	first, received, err := receive(c)
	if err != nil {
		return nil, fmt.Errorf("%s: receive: %w", method, err)
	}
	answer := rpcAnswer{Result: result}
	if err := decode(first, c, &answer); err != nil {
		closeAll(received)
		return nil, fmt.Errorf("%s: decode: %w", method, err)
	}
	if !answer.Success {
		closeAll(received)
		return nil, remoteError(answer.Err)
	}
	return received, nil
}

// rpcAnswer is what comes back from a call.
type rpcAnswer struct {
	Success bool   `json:"success"`
	Err     string `json:"err"`
	Result  any    `json:"result"`
}

// decode reads a message that begins with first.
func decode(first []byte, rest io.Reader, v any) error {
	return json.NewDecoder(io.MultiReader(bytes.NewReader(first), rest)).Decode(v)
}

func send(c *net.UnixConn, request []byte, files []*os.File) error {
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	n, _, err := c.WriteMsgUnix(request, rights, nil)
	if err == nil && n < len(request) {
		_, err = c.Write(request[n:])
	}
	return err
}

// receive reads the first part of an answer and the descriptors with it.
func receive(c *net.UnixConn) ([]byte, []*os.File, error) {
	const maxFiles = 8
	buf := make([]byte, 4096)
	oob := make([]byte, unix.CmsgSpace(maxFiles*4))
	n, oobn, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, nil, err
	}
	if n == 0 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return buf[:n], files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}
