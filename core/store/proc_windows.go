package store

import (
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/process"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// BootID is empty: creation times tell processes of one boot from those of another.
func BootID() string { return "" }

// Children are the processes that a process has started and that still run.
func Children(pid int) []Process {
	out := []Process{}
	snapshot, err := windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0)
	if err != nil {
		return out
	}
	defer windows.CloseHandle(snapshot)
	entry := windows.ProcessEntry32{Size: uint32(unsafe.Sizeof(windows.ProcessEntry32{}))}
	for err = windows.Process32First(snapshot, &entry); err == nil; err = windows.Process32Next(snapshot, &entry) {
		if int(entry.ParentProcessID) != pid {
			continue
		}
		if p, err := process.Of(int(entry.ProcessID)); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// WaitGone waits until processes that the kernel is ending are gone. One that is
// still there after the limit is ended here.
func WaitGone(processes []Process) {
	deadline := time.Now().Add(deathLimit)
	for _, p := range processes {
		if !endedBy(p, deadline) {
			kill(p)
		}
	}
}

// open opens exactly this process; false when it has ended.
func open(p Process) (windows.Handle, bool) {
	const rights = windows.PROCESS_QUERY_LIMITED_INFORMATION | windows.PROCESS_TERMINATE | windows.SYNCHRONIZE
	h, err := windows.OpenProcess(rights, false, uint32(p.Pid))
	if err != nil {
		return 0, false
	}
	if start, err := winsys.CreationTime(h); err != nil || start != p.Start || winsys.Ended(h) {
		windows.CloseHandle(h)
		return 0, false
	}
	return h, true
}

// endedBy waits until a process has ended.
func endedBy(p Process, deadline time.Time) bool {
	h, ok := open(p)
	if !ok {
		return true
	}
	defer windows.CloseHandle(h)
	left := max(time.Until(deadline).Milliseconds(), 0)
	event, err := windows.WaitForSingleObject(h, uint32(left))
	return err == nil && event == windows.WAIT_OBJECT_0
}

// kill ends exactly this process and waits for its death. What a supervisor has
// started ends with it: it holds the only handle of their job.
func kill(p Process) {
	h, ok := open(p)
	if !ok {
		return
	}
	defer windows.CloseHandle(h)
	if windows.TerminateProcess(h, 1) == nil {
		windows.WaitForSingleObject(h, uint32(deathLimit.Milliseconds()))
	}
}
