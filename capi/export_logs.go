package main

// #include "shim.h"
import "C"

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/logs"
)

//export msbgo_logs_open
func msbgo_logs_open(name *C.char, o *C.msb_logs_options, p *C.msbc_place, out *C.msb_os_fd, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	if err := startPoller(); err != nil {
		return fail(e, err)
	}
	r, err := core.ReadLogs(C.GoString(name), place(p), logOptions(o))
	if err != nil {
		return fail(e, err)
	}
	fd, err := serveLog(r)
	if err != nil {
		r.Close()
		return fail(e, err)
	}
	*out = C.msb_os_fd(fd)
	return C.MSB_OK
}

func logOptions(o *C.msb_logs_options) core.LogOptions {
	own := core.LogOptions{
		Lines: int64(o.tail_lines), Program: uint64(o.program), Follow: o.flags&C.MSB_LOGS_FOLLOW != 0,
	}
	if o.since_unix_ms != 0 {
		own.Since = time.UnixMilli(int64(o.since_unix_ms))
	}
	for _, source := range []logs.Source{logs.Stdout, logs.Stderr, logs.Supervisor} {
		if o.sources&(1<<source) != 0 {
			own.Sources = append(own.Sources, source)
		}
	}
	return own
}

// serveLog returns one end of a socket pair. A goroutine sends the entries into the
// other and ends with the log, or when the caller has closed his end: an idle
// follower notices that, since somebody waits for input that never comes. A socket
// takes MSG_NOSIGNAL, so that no SIGPIPE can arise.
func serveLog(r *core.LogReader) (int, error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(ends[1], true)
		if err != nil {
			unix.Close(ends[0])
			unix.Close(ends[1])
		}
	}
	if err != nil {
		return -1, fault.Wrap(err, fault.Limit, fault.NoStage, "socket pair of a log")
	}
	ours := os.NewFile(uintptr(ends[1]), "log")
	ctx, cancel := context.WithCancel(context.Background())
	fault.Go("log of msb_logs_open", func() {
		defer cancel()
		io.Copy(io.Discard, ours) // to the caller's close, or ours
	})
	fault.Go("log of msb_logs_open", func() {
		defer ours.Close()
		defer r.Close()
		sendLog(ctx, ours, r)
		// A child that the host forked meanwhile may have a copy of our end.
		control(ours, func(fd int) bool { unix.Shutdown(fd, unix.SHUT_WR); return true })
	})
	return ends[0], nil
}

func sendLog(ctx context.Context, to *os.File, r *core.LogReader) {
	var frame []byte
	for e, err := range r.All(ctx) {
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			e = core.LogEntry{Source: logs.Gap, Time: time.Now(), Content: []byte(err.Error())}
		}
		frame = e.AppendFrame(frame[:0])
		if !send(to, frame) {
			return
		}
	}
}

// send writes all of data; false when nobody reads any more.
func send(to *os.File, data []byte) bool {
	open := true
	for open && len(data) > 0 {
		open = control(to, func(fd int) bool {
			n, err := unix.SendmsgN(fd, data, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			data = data[max(n, 0):]
			if err == unix.EAGAIN {
				return false // until there is room
			}
			open = err == nil || err == unix.EINTR
			return true
		}) && open
	}
	return open
}

// control runs f with the descriptor, again when it is writable while f is false.
func control(file *os.File, f func(fd int) bool) bool {
	raw, err := file.SyscallConn()
	return err == nil && raw.Write(func(fd uintptr) bool { return f(int(fd)) }) == nil
}
