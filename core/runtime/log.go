package runtime

import (
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/logs"
	"github.com/libmicrosandbox/microsandbox/core/store"
)

// lastOutput bounds the wait, after the machine's end, for what its programs left in
// their pipes.
const lastOutput = 2 * time.Second

// openLog opens the log of the sandbox: a stored one's is kept beside its record.
func (s *supervisor) openLog() (err error) {
	fd, dir := s.claim.DirFD(), store.LogDir
	if s.stored != nil {
		fd, dir = s.stored.shelf.FD(), store.LogName(s.cfg.Name)
	}
	most := int64(s.cfg.LogMaxBytes)
	if most == 0 {
		most = logs.DefaultFileBytes
	}
	s.log, err = logs.Create(fd, dir, s.cfg.Name, most)
	return err
}

// closeLog ends the log, after what comes from pipes that are closed by now. It
// must come before the end of the claim: then the next run may open the log.
func (s *supervisor) closeLog(format string, args ...any) {
	timer := time.NewTimer(lastOutput)
	defer timer.Stop()
	select {
	case <-s.logging.none():
	case <-timer.C:
	}
	s.log.Printf(format, args...)
	s.log.Close()
}

// programLog is where a program's output goes for streams of kind log.
type programLog struct {
	log    *logs.Writer
	number uint64
	open   *tally
}

func (l programLog) write(which int, data []byte) {
	source := logs.Stdout
	if which == 2 {
		source = logs.Stderr
	}
	l.log.Write(source, l.number, data)
}

func (p *program) log() programLog {
	return programLog{log: p.client.s.log, number: p.number, open: &p.client.s.logging}
}

// logged reports whether a program's output goes to the log. Only of such is told
// there how they start and end: others may come by the thousand.
func logged(req *control.StartRequest) bool {
	return req.Stdio[1] == control.StdioLog || req.Stdio[2] == control.StdioLog
}

// exitText says how a program ended.
func exitText(status syscall.WaitStatus, err error) string {
	if err != nil {
		return "ended with the sandbox"
	}
	return engine.ExitText(status)
}

var causeTexts = map[uint32]string{
	handle.CauseStopped: "stopped", handle.CauseDrained: "drained", handle.CauseOwnerGone: "its owner is gone",
	handle.CauseMemoryLimit: "memory limit exceeded", handle.CauseCrashed: "the engine crashed",
	handle.CauseCPUTime: "processor time used up", handle.CauseIdleTimeout: "idle timeout", handle.CauseMaxDuration: "maximum duration",
}

func causeText(cause uint32) string {
	if text, ok := causeTexts[cause]; ok {
		return text
	}
	return fmt.Sprintf("cause %d", cause)
}

// note writes a line about a program whose output is logged.
func (p *program) note(req *control.StartRequest, format string, args ...any) {
	if logged(req) {
		p.client.s.log.Printf("program %d: "+format, append([]any{p.number}, args...)...)
	}
}

// tally counts what is open.
type tally struct {
	mu    sync.Mutex
	count int
	zero  []chan struct{}
}

func (t *tally) add(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count += n; t.count == 0 {
		for _, ch := range t.zero {
			close(ch)
		}
		t.zero = nil
	}
}

// none is closed once the count is 0.
func (t *tally) none() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	ch := make(chan struct{})
	if t.count == 0 {
		close(ch)
	} else {
		t.zero = append(t.zero, ch)
	}
	return ch
}
