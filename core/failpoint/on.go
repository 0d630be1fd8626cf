//go:build failpoint && (linux || windows)

// Package failpoint lets the crash tests stop or kill a process at a named step.
package failpoint

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
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
	if at != step || !taken(*path) {
		return
	}
	hit(action == "kill")
}

// taken reports whether this process has taken the file away. Windows refuses that for as
// long as another process reads it.
func taken(path string) bool {
	for {
		err := os.Rename(path, path+".reached")
		if err == nil || os.IsNotExist(err) {
			return err == nil
		}
		time.Sleep(time.Millisecond)
	}
}

// Mark is a step at which nothing ever stops: only profiles have it.
func Mark(string) {}

// TraceDir is where a profile's traces go, "" without one.
func TraceDir() string { return "" }
