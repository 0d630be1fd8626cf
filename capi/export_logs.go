package main

// #include "shim.h"
import "C"

import (
	"context"
	"io"
	"os"
	"time"

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
	fd, err := serveLog(r, o.flags&C.MSB_LOGS_OVERLAPPED != 0)
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

// feedLog starts what sends the entries into our end and ends with the log, or when
// the caller has closed his: an idle follower notices that, since somebody waits for
// input that never comes. last is called before our end is closed.
func feedLog(ours *os.File, r *core.LogReader, last func()) {
	ctx, cancel := context.WithCancel(context.Background())
	fault.Go("log of msb_logs_open", func() {
		defer cancel()
		io.Copy(io.Discard, ours) // to the caller's close, or ours
	})
	fault.Go("log of msb_logs_open", func() {
		defer ours.Close()
		defer r.Close()
		sendLog(ctx, ours, r)
		last()
	})
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
