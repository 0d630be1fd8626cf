package winsys

import (
	"os"
	"sync"

	"golang.org/x/sys/windows"
)

var (
	attachConsole = kernel32.NewProc("AttachConsole")
	freeConsole   = kernel32.NewProc("FreeConsole")
)

// console serialises what is attached: a process has one console.
var console sync.Mutex

// Break sends CTRL_BREAK to the process group that a process leads, which was started
// with a console and a group of its own. It is for a caller that has no console.
func Break(pid int) error {
	console.Lock()
	defer console.Unlock()
	if ok, _, err := attachConsole.Call(uintptr(pid)); ok == 0 {
		return os.NewSyscallError("AttachConsole", err)
	}
	defer freeConsole.Call()
	return os.NewSyscallError("GenerateConsoleCtrlEvent", windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(pid)))
}
