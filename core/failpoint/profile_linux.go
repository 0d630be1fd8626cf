//go:build profile && !failpoint

// Package failpoint here writes down when each step was reached: `make profile`
// builds it so.
package failpoint

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// TraceName is the file, in the armed directory, that steps are written to. Where
// there is none, nothing is written.
const TraceName = "trace"

var trace struct {
	sync.Mutex
	dir   string
	file  *os.File
	early []string // steps before Arm
}

// Arm says in which directory the trace is.
func Arm(dir string) {
	trace.Lock()
	defer trace.Unlock()
	file, err := os.OpenFile(filepath.Join(dir, TraceName), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil || trace.file != nil {
		return
	}
	trace.dir, trace.file = dir, file
	for _, line := range trace.early {
		file.WriteString(line)
	}
	trace.early = nil
}

// Point is a step.
func Point(step string) { Mark(step) }

// Mark is a step: one line "TIME PID STEP", in nanoseconds since 1970.
func Mark(step string) {
	line := fmt.Sprintf("%d %d %s\n", time.Now().UnixNano(), os.Getpid(), step)
	trace.Lock()
	defer trace.Unlock()
	if trace.file != nil {
		trace.file.WriteString(line)
	} else {
		trace.early = append(trace.early, line)
	}
}

// TraceDir is where the trace is, "" when there is none.
func TraceDir() string {
	trace.Lock()
	defer trace.Unlock()
	return trace.dir
}
