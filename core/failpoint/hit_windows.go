//go:build failpoint

package failpoint

import "golang.org/x/sys/windows"

var suspend = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtSuspendProcess")

// hit kills or stops this process, from where it is.
func hit(kill bool) {
	if kill {
		windows.TerminateProcess(windows.CurrentProcess(), 1)
	}
	suspend.Call(uintptr(windows.CurrentProcess()))
}
