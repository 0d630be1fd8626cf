package handle

import (
	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// errNotOpen is the error of a number that is no open handle.
const errNotOpen = windows.ERROR_INVALID_HANDLE

// duplicate makes another handle, not inheritable, of an open one. Numbers that stand
// for a process or thread itself are no handles of files.
func duplicate(fd int) (int, error) {
	if fd <= 0 {
		return -1, errNotOpen
	}
	self := windows.CurrentProcess()
	var dup windows.Handle
	if err := windows.DuplicateHandle(self, windows.Handle(fd), self, &dup, 0, false, windows.DUPLICATE_SAME_ACCESS); err != nil {
		return -1, err
	}
	return int(dup), nil
}

// standard is the handle of one of the host's own standard streams; a program without
// a console may have none.
func standard(which int) int {
	id := []uint32{windows.STD_INPUT_HANDLE, windows.STD_OUTPUT_HANDLE, windows.STD_ERROR_HANDLE}[which]
	h, err := windows.GetStdHandle(id)
	if err != nil || h == windows.InvalidHandle {
		return 0
	}
	return int(h)
}

// pipeBytes is the size of a pipe, as on other systems.
const pipeBytes = 64 << 10

// newPipe makes a pipe for a standard stream: its read end, then its write end. Neither
// is inheritable, and the program's never takes overlapped I/O, of which it knows nothing.
func newPipe(which int, overlapped bool) (ends [2]int, err error) {
	if overlapped {
		ours, theirs, err := winsys.RawStream(which != 0)
		if which == 0 {
			return [2]int{int(theirs), int(ours)}, err
		}
		return [2]int{int(ours), int(theirs)}, err
	}
	var r, w windows.Handle
	if err := windows.CreatePipe(&r, &w, nil, pipeBytes); err != nil {
		return ends, err
	}
	return [2]int{int(r), int(w)}, nil
}
