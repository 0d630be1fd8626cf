package main

import (
	"os"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// serveLog returns one end of a pipe, of which the other is fed.
func serveLog(r *core.LogReader, overlapped bool) (int, error) {
	ours, theirs, err := winsys.Duplex(overlapped)
	if err != nil {
		return -1, fault.Wrap(err, fault.Limit, fault.NoStage, "pipe of a log")
	}
	feedLog(ours, r, func() {})
	return int(theirs), nil
}

// send writes all of data; false when nobody reads any more.
func send(to *os.File, data []byte) bool {
	_, err := to.Write(data)
	return err == nil
}
