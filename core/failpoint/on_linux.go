//go:build failpoint

// Package failpoint lets the crash tests stop or kill a process at a named step.
package failpoint

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
)

var file atomic.Pointer[string]

// Arm says in which directory to look for the file "failpoint": one line
// "STEP ACTION", with ACTION stop or kill.
func Arm(dir string) {
	path := filepath.Join(dir, "failpoint")
	file.Store(&path)
}

// Point is a step. The process that reaches the one in the file takes the file
// away, so that it happens once, and does to itself what the file says.
func Point(step string) {
	path := file.Load()
	if path == nil {
		return
	}
	text, err := os.ReadFile(*path)
	if err != nil {
		return
	}
	at, action, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if at != step || os.Rename(*path, *path+".reached") != nil {
		return
	}
	signal := syscall.SIGSTOP
	if action == "kill" {
		signal = syscall.SIGKILL
	}
	// To this thread, which it stops on the way out of the call: sent to the process
	// it would stop some other thread first, and this one would go on.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.Tgkill(os.Getpid(), syscall.Gettid(), signal)
}

// Mark is a step at which nothing ever stops: only profiles have it.
func Mark(string) {}

// TraceDir is where a profile's traces go, "" without one.
func TraceDir() string { return "" }
