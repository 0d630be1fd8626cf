package handle

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// write may wait for the reader of a full pipe. Lines that come meanwhile are dropped
// and counted; the wait ends when the reader reads or goes.
func (l *logger) write() {
	defer windows.CloseHandle(windows.Handle(l.fd))
	for line := range l.lines {
		if n := l.dropped.Swap(0); n > 0 {
			line = fmt.Sprintf("(%d lines were dropped: the log handle was not writable)\n%s", n, line)
		}
		var n uint32
		windows.WriteFile(windows.Handle(l.fd), []byte(line[:min(len(line), 4096)]), &n, nil)
	}
}
