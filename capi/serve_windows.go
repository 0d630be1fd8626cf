package main

import (
	"context"
	"io"
	"os"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// serveLog returns one end of a pipe. A goroutine sends the entries into the other and
// ends with the log, or when the caller has closed his end: an idle follower notices
// that, since somebody waits for input that never comes.
func serveLog(r *core.LogReader) (int, error) {
	ours, theirs, err := winsys.Duplex()
	if err != nil {
		return -1, fault.Wrap(err, fault.Limit, fault.NoStage, "pipe of a log")
	}
	ctx, cancel := context.WithCancel(context.Background())
	fault.Go("log of msb_logs_open", func() {
		defer cancel()
		io.Copy(io.Discard, ours) // to the caller's close, or ours
	})
	fault.Go("log of msb_logs_open", func() {
		defer ours.Close()
		defer r.Close()
		sendLog(ctx, ours, r)
	})
	return int(theirs), nil
}

// send writes all of data; false when nobody reads any more.
func send(to *os.File, data []byte) bool {
	_, err := to.Write(data)
	return err == nil
}
