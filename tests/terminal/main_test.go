// Package terminal drives programs that have a terminal: shells, editors and pagers,
// through the library, and msb itself on a terminal of its own.
package terminal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/image"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

var pty = [3]core.Stdio{{Kind: core.StdioPty}, {Kind: core.StdioPty}, {Kind: core.StdioPty}}

// hostRoot has bash, vi and less where the host has.
func hostRoot(t testing.TB) core.Options {
	o := harness.Options(t)
	o.Root = image.Root{Kind: image.Host}
	return o
}

// screen is the master of a terminal: it remembers all that was shown.
type screen struct {
	t      testing.TB
	master *os.File
	ended  chan struct{} // end of file

	mu    sync.Mutex
	shown strings.Builder
	seen  int // up to here expect has looked
	more  chan struct{}
}

func newScreen(t testing.TB, fd int) *screen {
	t.Helper()
	require.NoError(t, unix.SetNonblock(fd, true)) // so that Close ends a read
	s := &screen{t: t, master: os.NewFile(uintptr(fd), "master"), ended: make(chan struct{}), more: make(chan struct{}, 1)}
	go s.read()
	t.Cleanup(func() { s.master.Close() })
	return s
}

func (s *screen) read() {
	defer close(s.ended)
	buf := make([]byte, 4096)
	for {
		n, err := s.master.Read(buf)
		s.mu.Lock()
		s.shown.Write(buf[:n])
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// expect waits until a text is shown, after what was expected before.
func (s *screen) expect(want string) {
	s.t.Helper()
	deadline := time.After(harness.Limit)
	for {
		s.mu.Lock()
		all, from := s.shown.String(), s.seen
		at := strings.Index(all[from:], want)
		if at >= 0 {
			s.seen = from + at + len(want)
		}
		s.mu.Unlock()
		if at >= 0 {
			return
		}
		select {
		case <-s.more:
		case <-s.ended:
			if strings.Contains(s.text()[from:], want) {
				continue
			}
			s.t.Fatalf("the terminal has ended without %q: %q", want, all[from:])
		case <-deadline:
			s.t.Fatalf("waited %v in vain for %q on the terminal: %q", harness.Limit, want, all[from:])
		}
	}
}

func (s *screen) keys(text string) {
	s.t.Helper()
	_, err := io.WriteString(s.master, text)
	require.NoError(s.t, err)
}

func (s *screen) end() {
	s.t.Helper()
	harness.Wait(s.t, s.ended, "the end of the terminal")
}

func (s *screen) hangUp() {
	s.t.Helper()
	if err := s.master.Close(); !errors.Is(err, os.ErrClosed) {
		require.NoError(s.t, err)
	}
}

// program is one with a terminal.
type program struct {
	*core.Process
	*screen
}

// on starts a program on a terminal and waits until it runs.
func on(t testing.TB, sb *core.Sandbox, o core.ProcessOptions) *program {
	t.Helper()
	o.Stdio = pty
	p, err := sb.Start(o)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	fd, err := p.Stdio(0)
	require.NoError(t, err)
	s := newScreen(t, fd)
	harness.Wait(t, p.Ready(), "the program to start")
	require.NoError(t, p.StartErr())
	return &program{p, s}
}

func run(t testing.TB, sb *core.Sandbox, argv ...string) *program {
	t.Helper()
	return on(t, sb, core.ProcessOptions{Argv: argv})
}

// exits waits for the program's end.
func (p *program) exits(code int) {
	p.t.Helper()
	harness.Wait(p.t, p.Done(), "the program to end")
	require.Equal(p.t, int32(code), p.Outcome().ExitCode, "%+v %q", p.Outcome(), p.text())
}

// tick is how often something is looked at that tells nobody of its change.
const tick = 5 * time.Millisecond

// helpers are the process ids of the helpers of a sandbox's terminals.
func helpers(t testing.TB, sb *core.Sandbox) []int {
	t.Helper()
	var pids []int
	for _, p := range harness.Tree(t, int(sb.Pid())) {
		argv, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.Pid))
		if strings.HasPrefix(string(argv), "msb-terminal\x00") {
			pids = append(pids, p.Pid)
		}
	}
	return pids
}
