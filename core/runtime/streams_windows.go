package runtime

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// streams are a program's standard streams: what the engine gets, and the relays of
// those that are counted or go to the log.
type streams struct {
	guest  [3]*os.File
	relays []*relay
	output *allowance // of stdout and stderr together; nil: without end
	screen *screen    // nil: there are no terminals
}

// openStreams takes ownership of handles. What the host program shares goes to the
// program as it is: its handle is one of several on a file, and has no mode that the
// program could change for others.
func openStreams(kinds [3]control.Stdio, handles []int, log programLog, output *allowance) (*streams, error) {
	s := &streams{output: output}
	next := 0
	for which, kind := range kinds {
		switch kind {
		case control.StdioNull:
		case control.StdioLog:
			if err := s.relay(which, 0, log); err != nil {
				control.CloseAll(handles[next:])
				s.close()
				return nil, fault.Wrap(err, fault.IO, fault.StageStdio, fmt.Sprintf("stdio %d", which))
			}
		default:
			given := windows.Handle(handles[next])
			next++
			if which == 0 || output == nil {
				s.guest[which] = os.NewFile(uintptr(given), "stdio "+strconv.Itoa(which))
			} else if err := s.relay(which, given, log); err != nil {
				windows.CloseHandle(given)
				control.CloseAll(handles[next:])
				s.close()
				return nil, fault.Wrap(err, fault.IO, fault.StageStdio, fmt.Sprintf("stdio %d", which))
			}
		}
	}
	return s, nil
}

// relay counts what the program writes and passes it on to a handle, which becomes the
// relay's, or to the log.
func (s *streams) relay(which int, to windows.Handle, log programLog) error {
	ours, theirs, err := winsys.RawStream(true)
	if err != nil {
		return err
	}
	event, err := windows.CreateEvent(nil, 1, 0, nil)
	if err != nil {
		windows.CloseHandle(ours)
		windows.CloseHandle(theirs)
		return os.NewSyscallError("CreateEvent", err)
	}
	s.guest[which] = os.NewFile(uintptr(theirs), "stdio relay")
	s.relays = append(s.relays, newRelay(which, ours, event, to, s.output, log))
	return nil
}

// close drops everything after a start that failed.
func (s *streams) close() {
	for _, f := range s.guest {
		if f != nil {
			f.Close()
		}
	}
	for _, r := range s.relays {
		r.stop()
	}
}

// flush runs after the program's end: what it wrote is in the log before its end is
// told. What its descendants write later is still copied, until the sandbox ends.
func (s *streams) flush(ending <-chan struct{}) {
	for _, r := range s.relays {
		r.flush(ending)
	}
}
