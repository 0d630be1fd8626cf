package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/dir"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

const (
	pipePrefix = `\\.\pipe\msb-`
	pipeBuffer = MaxFrame // bytes that may wait in a pipe, in each direction
	// pipeName is the file in a sandbox's directory with the name of its pipe.
	pipeName = "control.pipe"
)

// pipe is one instance of a named pipe that waits for a client. Only processes of
// the same user, and the system, can open it, and none from another machine.
type pipe struct {
	name   string
	handle windows.Handle
	stop   windows.Handle // an event that ends the waiting
}

// randomName is a name that nobody can guess, and so not take before.
func randomName() (string, error) {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	return pipePrefix + hex.EncodeToString(id[:]), nil
}

// newInstance makes an instance of a pipe; the first one of its name must be alone.
func newInstance(name string, first bool, most uint32) (windows.Handle, error) {
	sa, err := winsys.Private(false)
	if err != nil {
		return 0, err
	}
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, err
	}
	mode := uint32(windows.PIPE_ACCESS_DUPLEX | windows.FILE_FLAG_OVERLAPPED)
	if first {
		mode |= windows.FILE_FLAG_FIRST_PIPE_INSTANCE
	}
	const how = windows.PIPE_TYPE_BYTE | windows.PIPE_READMODE_BYTE | windows.PIPE_WAIT | windows.PIPE_REJECT_REMOTE_CLIENTS
	h, err := windows.CreateNamedPipe(text, mode, how, most, pipeBuffer, pipeBuffer, 0, sa)
	return h, os.NewSyscallError("CreateNamedPipe", err)
}

// connect waits for a client and returns its process id. It ends with errStopped
// when stop or over, unless it is 0, is signalled.
func connect(instance, stop, over windows.Handle) (pid uint32, err error) {
	event, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		return 0, os.NewSyscallError("CreateEvent", err)
	}
	defer windows.CloseHandle(event)
	at := windows.Overlapped{HEvent: event}
	err = windows.ConnectNamedPipe(instance, &at)
	if err == windows.ERROR_IO_PENDING {
		err = awaitClient(instance, &at, stop, over)
	}
	if err != nil && err != windows.ERROR_PIPE_CONNECTED {
		return 0, err
	}
	err = windows.GetNamedPipeClientProcessId(instance, &pid)
	return pid, os.NewSyscallError("GetNamedPipeClientProcessId", err)
}

var errStopped = errors.New("nobody waits for a client any more")

func awaitClient(instance windows.Handle, at *windows.Overlapped, stop, over windows.Handle) error {
	events := []windows.Handle{at.HEvent, stop}
	if over != 0 {
		events = append(events, over)
	}
	which, err := windows.WaitForMultipleObjects(events, false, windows.INFINITE)
	if err == nil && which != windows.WAIT_OBJECT_0 {
		err = errStopped
	}
	if err != nil {
		windows.CancelIoEx(instance, at)
	}
	var n uint32
	done := windows.GetOverlappedResult(instance, at, &n, true) // at must not be used any more
	if err == nil {
		err = done
	}
	return err
}

// Offer is a pipe for the one connection of a process that is yet to be started.
type Offer struct{ pipe }

// NewOffer makes the pipe under a random name.
func NewOffer() (*Offer, error) {
	name, err := randomName()
	if err != nil {
		return nil, err
	}
	o := &Offer{pipe{name: name}}
	if o.handle, err = newInstance(name, true, 1); err != nil {
		return nil, err
	}
	if o.stop, err = windows.CreateEvent(nil, 1, 0, nil); err != nil {
		windows.CloseHandle(o.handle)
		return nil, os.NewSyscallError("CreateEvent", err)
	}
	return o, nil
}

// Name is what the process dials.
func (o *Offer) Name() string { return o.name }

// Accept waits until ctx ends, or the process does, for its connection. Any other
// client is refused. process stays the caller's; it must allow to duplicate handles
// into it.
func (o *Offer) Accept(ctx context.Context, pid int, process windows.Handle) (*Conn, error) {
	defer context.AfterFunc(ctx, func() { windows.SetEvent(o.stop) })()
	for {
		client, err := connect(o.handle, o.stop, process)
		if errors.Is(err, windows.ERROR_NO_DATA) { // one that has gone already
			client, err = 0, nil
		}
		if err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return nil, err
		}
		if int(client) == pid {
			break
		}
		if err := windows.DisconnectNamedPipe(o.handle); err != nil {
			return nil, os.NewSyscallError("DisconnectNamedPipe", err)
		}
	}
	var peer windows.Handle
	self := windows.CurrentProcess()
	if err := windows.DuplicateHandle(self, process, self, &peer, windows.PROCESS_DUP_HANDLE, false, 0); err != nil {
		return nil, os.NewSyscallError("DuplicateHandle", err)
	}
	conn := newConn(o.handle, peer)
	o.handle = 0
	return conn, nil
}

// Close withdraws the offer; a connection that was made stays. Not during Accept.
func (o *Offer) Close() {
	if o.handle != 0 {
		windows.CloseHandle(o.handle)
		o.handle = 0
	}
	if o.stop != 0 {
		windows.CloseHandle(o.stop)
		o.stop = 0
	}
}

// Answer dials the pipe of an offer. server is the process that must have made it.
func Answer(name string, server int) (*Conn, error) {
	conn, pid, err := dial(name)
	if err == nil && pid != server {
		conn.Close()
		err = fmt.Errorf("the control pipe belongs to process %d, not to %d", pid, server)
	}
	if err != nil {
		return nil, err
	}
	conn.takes = true
	return conn, nil
}

// busyLimit bounds the wait for a server that has no instance ready right now.
const busyLimit = 2 * time.Second

// dial connects to a pipe and returns its server's process id. The server may learn
// who we are, but not act for us.
func dial(name string) (*Conn, int, error) {
	if !strings.HasPrefix(name, pipePrefix) {
		return nil, 0, fmt.Errorf("%q is not the name of a control pipe", name)
	}
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return nil, 0, err
	}
	var h windows.Handle
	for deadline := time.Now().Add(busyLimit); ; time.Sleep(5 * time.Millisecond) {
		const flags = windows.FILE_FLAG_OVERLAPPED | windows.SECURITY_SQOS_PRESENT | windows.SECURITY_IDENTIFICATION
		h, err = windows.CreateFile(text, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil, windows.OPEN_EXISTING, flags, 0)
		if err != windows.ERROR_PIPE_BUSY || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		return nil, 0, &os.PathError{Op: "open", Path: name, Err: err}
	}
	var pid uint32
	if err := windows.GetNamedPipeServerProcessId(h, &pid); err != nil {
		windows.CloseHandle(h)
		return nil, 0, os.NewSyscallError("GetNamedPipeServerProcessId", err)
	}
	return newConn(h, 0), int(pid), nil
}

// Dial connects to the supervisor of a sandbox's directory and returns the connection
// and the supervisor's process id, which the caller compares with the record.
func Dial(d dir.Ref) (*Conn, int, error) {
	name, err := os.ReadFile(filepath.Join(d, pipeName))
	if err != nil {
		return nil, 0, err
	}
	conn, pid, err := dial(string(name))
	if err != nil {
		return nil, 0, err
	}
	if conn.peer, err = windows.OpenProcess(windows.PROCESS_DUP_HANDLE, false, uint32(pid)); err != nil {
		conn.Close()
		return nil, 0, os.NewSyscallError("OpenProcess", err)
	}
	return conn, pid, nil
}

// Listener accepts connections of the same user to a sandbox.
type Listener struct{ pipe }

// Listen makes the pipe under a random name, which it writes into the directory.
func Listen(d dir.Ref) (*Listener, error) {
	name, err := randomName()
	if err != nil {
		return nil, err
	}
	l := &Listener{pipe: pipe{name: name}}
	if l.handle, err = newInstance(name, true, windows.PIPE_UNLIMITED_INSTANCES); err != nil {
		return nil, err
	}
	if l.stop, err = windows.CreateEvent(nil, 1, 0, nil); err == nil {
		err = os.WriteFile(filepath.Join(d, pipeName), []byte(name), 0o600)
	}
	if err != nil {
		windows.CloseHandle(l.handle)
		return nil, err
	}
	return l, nil
}

// Accept returns the next connection. It has one caller.
func (l *Listener) Accept() (*Conn, error) {
	if l.handle == 0 {
		h, err := newInstance(l.name, false, windows.PIPE_UNLIMITED_INSTANCES)
		if err != nil {
			return nil, err
		}
		l.handle = h
	}
	if _, err := connect(l.handle, l.stop, 0); err != nil {
		windows.CloseHandle(l.handle)
		l.handle = 0
		if err == errStopped {
			err = os.ErrClosed
		}
		return nil, err
	}
	conn := newConn(l.handle, 0)
	conn.takes = true
	// The next one at once: a client that finds none is told that there is no pipe.
	l.handle, _ = newInstance(l.name, false, windows.PIPE_UNLIMITED_INSTANCES)
	return conn, nil
}

// Close stops listening; a blocked Accept returns. The pipe goes with the process.
func (l *Listener) Close() error { return os.NewSyscallError("SetEvent", windows.SetEvent(l.stop)) }
