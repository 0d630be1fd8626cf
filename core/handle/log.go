package handle

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// logQueue is how many lines may wait for the descriptor before lines are dropped.
const logQueue = 256

// logger owns a descriptor and the goroutine that writes to it.
type logger struct {
	fd      int
	lines   chan string
	dropped atomic.Int64
}

var (
	logMu   sync.RWMutex // taken to send a line, and exclusively to change the logger
	current *logger
)

// SetLog sends the library's log to a duplicate of fd; -1 turns it off.
func SetLog(fd int) error {
	var next *logger
	if fd >= 0 {
		dup, err := duplicate(fd)
		if err != nil {
			return fault.Wrap(err, fault.IO, fault.StageArgument, fmt.Sprintf("log descriptor %d", fd))
		}
		next = &logger{fd: dup, lines: make(chan string, logQueue)}
		fault.OnPanic(func(text string) { logf("", 0, "%s", text) })
		fault.Go("log", next.write)
	}
	logMu.Lock()
	old := current
	current = next
	logMu.Unlock()
	if old != nil {
		close(old.lines) // the writer ends and closes its descriptor
	}
	return nil
}

// logf queues one line about a sandbox.
func logf(name string, pid int32, format string, args ...any) {
	logMu.RLock()
	defer logMu.RUnlock()
	if current == nil {
		return
	}
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")
	line := fmt.Sprintf("%s sandbox=%q pid=%d %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), name, pid, text)
	select {
	case current.lines <- line:
	default:
		current.dropped.Add(1)
	}
}
