package winsys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// StartTime returns when a process was created, in steps of 100 ns since 1601: with
// the id it tells a process from any other. os.ErrProcessDone when it has ended or
// never was.
func StartTime(pid int) (uint64, error) {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION|windows.SYNCHRONIZE, false, uint32(pid))
	if err == windows.ERROR_INVALID_PARAMETER { // no such id
		return 0, os.ErrProcessDone
	}
	if err != nil {
		return 0, os.NewSyscallError("OpenProcess", err)
	}
	defer windows.CloseHandle(h)
	if Ended(h) {
		return 0, os.ErrProcessDone
	}
	return CreationTime(h)
}

// CreationTime is StartTime of an open process, which may have ended.
func CreationTime(process windows.Handle) (uint64, error) {
	var created, exited, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(process, &created, &exited, &kernel, &user); err != nil {
		return 0, os.NewSyscallError("GetProcessTimes", err)
	}
	return uint64(created.HighDateTime)<<32 | uint64(created.LowDateTime), nil
}

// Ended reports whether a process that was opened with SYNCHRONIZE has ended: its
// id stays taken for as long as somebody has it open.
func Ended(process windows.Handle) bool {
	event, err := windows.WaitForSingleObject(process, 0)
	return err == nil && event == windows.WAIT_OBJECT_0
}

var getProcessMemoryInfo = kernel32.NewProc("K32GetProcessMemoryInfo")

// PROCESS_MEMORY_COUNTERS_EX.
type memoryCounters struct {
	size, faults                                 uint32
	peakWorkingSet, workingSet                   uintptr
	quotaPeakPaged, quotaPaged                   uintptr
	quotaPeakNonPaged, quotaNonPaged             uintptr
	pagefileUsage, peakPagefileUsage, privateUse uintptr
}

// Committed is how much memory a process has of its own, or has in use now when that is
// more, in bytes; 0 when it has ended.
func Committed(pid int) uint64 {
	h, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return 0
	}
	defer windows.CloseHandle(h)
	counters := memoryCounters{}
	counters.size = uint32(unsafe.Sizeof(counters))
	if ok, _, _ := getProcessMemoryInfo.Call(uintptr(h), uintptr(unsafe.Pointer(&counters)), uintptr(counters.size)); ok == 0 {
		return 0
	}
	return uint64(max(counters.privateUse, counters.workingSet))
}
