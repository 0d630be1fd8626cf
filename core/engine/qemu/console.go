package qemu

import (
	"bytes"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// consoleKept is how much of the end of the guest's console is kept, in bytes.
const consoleKept = 8 << 10

// tail keeps the last bytes that were written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p[max(0, len(p)-consoleKept):]...)
	if over := len(t.data) - consoleKept; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}

// lastLine is the last line that says something, for people: printable, 200 bytes at most.
func (t *tail) lastLine() string {
	lines := strings.FieldsFunc(t.text(), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := len(lines) - 1; i >= 0; i-- {
		if line := printable(lines[i]); line != "" {
			return line
		}
	}
	return ""
}

// problem is the first line that is no warning, for people: what a program complains
// about last is often only what followed from it.
func (t *tail) problem() string {
	for line := range strings.Lines(t.text()) {
		if line = printable(line); line != "" && !strings.Contains(line, "warning: ") {
			return line
		}
	}
	return ""
}

func printable(line string) string {
	line = strings.ToValidUTF8(line[:min(len(line), 200)], "?")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, line))
}

// panicked returns what the guest's kernel said when it gave up.
func (t *tail) panicked() string {
	const mark = "Kernel panic - not syncing: "
	_, after, ok := strings.Cut(t.text(), mark)
	if !ok {
		return ""
	}
	line, _, _ := strings.Cut(after, "\n")
	return printable(line)
}

// outOfMemory tells whether the guest ended since its memory was used up.
func (t *tail) outOfMemory() bool {
	reason := t.panicked()
	return strings.HasPrefix(reason, "Out of memory") || strings.HasPrefix(reason, "System is deadlocked on memory")
}

// follow copies from a descriptor until its end.
func (t *tail) follow(f *os.File, done chan<- struct{}) {
	defer close(done)
	buf := make([]byte, 4096)
	for {
		n, err := f.Read(buf)
		t.Write(bytes.ReplaceAll(buf[:n], []byte{0}, nil))
		if err != nil {
			return
		}
	}
}

// pair is a connected pair of stream sockets: ours does not block its reader's thread.
func pair(name string) (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		unix.Close(fds[0])
		unix.Close(fds[1])
		return nil, nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}
