package escape

import (
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

const (
	// longestBeat is how long another sandbox may take to answer while one does
	// harm, on a machine with few processors that run other things too.
	longestBeat = 10 * time.Second
	// harmLimit ends a harm that ends in no limit of its own.
	harmLimit = 2 * time.Minute
)

// heart is a sandbox that answers, again and again, until the test ends.
type heart struct {
	t       *testing.T
	program *harness.Program
	stop    chan struct{}
	stopped sync.WaitGroup
	beats   int
	longest time.Duration
	err     error
}

func startHeart(t *testing.T) *heart {
	h := &heart{t: t, stop: make(chan struct{})}
	h.program = harness.Start(t, harness.New(t), core.ProcessOptions{
		Argv: []string{"cat"}, Stdio: [3]core.Stdio{harness.Pipe, harness.Pipe, harness.Null},
	})
	h.program.Running()
	h.stopped.Go(func() {
		next := time.NewTicker(20 * time.Millisecond)
		defer next.Stop()
		for h.err == nil {
			select {
			case <-h.stop:
				return
			case <-next.C:
				h.beat()
			}
		}
	})
	return h
}

// beat asks the other sandbox once.
func (h *heart) beat() {
	begin := time.Now()
	h.program.Out.SetReadDeadline(begin.Add(longestBeat))
	if _, h.err = h.program.Stdin.Write([]byte("x")); h.err != nil {
		return
	}
	if _, h.err = io.ReadFull(h.program.Out, make([]byte, 1)); h.err != nil {
		return
	}
	h.beats++
	h.longest = max(h.longest, time.Since(begin))
}

// well requires that the other sandbox has answered all the time, and still does.
func (h *heart) well() {
	h.t.Helper()
	close(h.stop)
	h.stopped.Wait()
	if h.err == nil {
		h.beat()
	}
	require.NoError(h.t, h.err, "the other sandbox has stopped answering after %d beats", h.beats)
	h.t.Logf("%d beats, the longest took %v", h.beats, h.longest)
}

// patient is a sandbox that is to be harmed.
type patient struct {
	*core.Sandbox
	t     *testing.T
	state core.State
	tree  []store.Process
}

const patientMemory, patientOverlay = 128 << 20, 16 << 20

func newPatient(t *testing.T, limits core.Limits) *patient {
	o := harness.Options(t)
	o.Root = harness.DirRoot(t)
	o.MemoryBytes, o.OverlayBytes = patientMemory, patientOverlay
	o.Limits = limits
	s := &patient{t: t, state: o.State, Sandbox: harness.Create(t, o)}
	upload(t, s.Sandbox, probes(t))
	return s
}

// harmed is what became of a program and its sandbox within the limit.
type harmed struct {
	said    string
	program core.Outcome
	ended   bool // the sandbox has
	took    time.Duration
}

// harm runs a probe until it ends, the sandbox ends, or the limit is over.
func (s *patient) harm(args ...string) harmed {
	s.t.Helper()
	begin := time.Now()
	p := harness.Start(s.t, s.Sandbox, core.ProcessOptions{
		Argv: append([]string{guestProbes}, args...), Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.Null},
	})
	text := make(chan string, 1)
	go func() {
		data, _ := io.ReadAll(p.Out)
		text <- string(data)
	}()
	timer := time.NewTimer(harmLimit)
	defer timer.Stop()
	select {
	case <-p.Done():
	case <-timer.C:
		s.t.Logf("%q: stopped by the time limit of the test", args)
		s.tree = harness.Tree(s.t, int(s.Pid()))
		s.Kill()
	}
	harness.Wait(s.t, p.Done(), "the program to end")
	h := harmed{program: p.Outcome(), took: time.Since(begin)}
	h.said = strings.TrimSpace(<-text)
	if h.program.Cause != handle.CauseExited && h.program.Cause != handle.CauseSignaled {
		harness.Wait(s.t, s.Done(), "the sandbox to end")
	}
	select {
	case <-s.Done():
		h.ended = true
	default:
	}
	s.t.Logf("%q: %s, %s, sandbox ended: %v, %v", args, h.said, outcomeText(h.program), h.ended, h.took.Round(time.Millisecond))
	return h
}

// gone ends the sandbox and requires that nothing of it is left.
func (s *patient) gone() {
	s.t.Helper()
	tree := append(s.tree, harness.Tree(s.t, int(s.Pid()))...)
	harness.End(s.t, s.Sandbox)
	harness.Gone(s.t, tree, harness.Limit)
	harness.Swept(s.t, s.state.Dir)
	assert.Empty(s.t, harness.Named(s.state.Dir))
}

// goesOn requires that the sandbox runs programs, or ends for this cause, unless 0: what
// has all but met a limit of the sandbox meets it with the next program.
func (s *patient) goesOn(cause uint32) {
	s.t.Helper()
	p, err := s.Start(core.ProcessOptions{Argv: []string{"sh", "-c", "exit 7"}})
	require.NoError(s.t, err)
	defer p.Close()
	harness.Wait(s.t, p.Done(), "a program's end")
	if p.StartErr() == nil && p.Outcome().ExitCode == 7 {
		return
	}
	require.NotZero(s.t, cause, "the sandbox goes on: %v", p.StartErr())
	harness.Wait(s.t, s.Done(), "the sandbox to end")
	assert.Equal(s.t, cause, s.Outcome().Cause)
}

// Programs that take all they can get end in their limit, or in the sandbox's, and
// the outcome names it.
func TestHarm(t *testing.T) {
	many := core.Limits{Processes: 32768}
	for _, c := range []struct {
		name    string
		limits  core.Limits
		args    []string
		said    string // pattern; "" when it must not come to say anything
		cause   uint32 // of the sandbox's end, 0 when it lives on
		limit   uint32
		control []string
	}{
		{"memory bomb", core.Limits{}, []string{"harm_memory", "1024"}, "", handle.CauseMemoryLimit, handle.LimitHitMemory,
			[]string{"harm_memory", "1"}},
		{"disk fill of the root", core.Limits{}, []string{"harm_file", "/root/fill", "64"}, "denied: write after [0-9]+ MiB: ENOSPC", 0,
			handle.LimitHitOverlay, nil},
		{"disk fill of /tmp", core.Limits{}, []string{"harm_file", "/tmp/fill", "64"}, "denied: write after [0-9]+ MiB: ENOSPC", 0,
			handle.LimitHitOverlay, nil},
		{"disk fill of /dev/shm", core.Limits{}, []string{"harm_file", "/dev/shm/fill", "64"}, "denied: write after [0-9]+ MiB: ENOSPC", 0,
			handle.LimitHitOverlay, []string{"harm_file", "CONTROL/fill", "1"}},
		{"inode fill", core.Limits{}, []string{"harm_inodes", "/tmp", "1000000"}, "denied: open after [0-9]+: ENOSPC", 0,
			handle.LimitHitOverlay, []string{"harm_inodes", "CONTROL", "100"}},
		{"descriptor exhaustion", core.Limits{}, []string{"harm_descriptors", "10000000"}, "denied: open after [0-9]+: EMFILE", 0,
			handle.LimitHitOpenFiles, []string{"harm_descriptors", "20"}},
		{"descriptors of many processes", core.Limits{}, []string{"harm_files", "50", "4000", "/bin/busybox"}, "(reached: .*)?", handle.CauseMemoryLimit, handle.LimitHitMemory,
			[]string{"harm_files", "2", "20", "/bin/sh"}},
		{"terminal exhaustion", core.Limits{}, []string{"harm_terminals", "100000"}, "denied: open after [0-9]+: (E[MN]FILE|ENOSPC|EIO)", 0,
			handle.LimitHitOpenFiles, []string{"harm_terminals", "2"}},
		{"fork bomb", core.Limits{}, []string{"harm_processes", "100000"}, "denied: fork after 6[0-9]: EAGAIN", 0,
			handle.LimitHitProcesses, []string{"harm_processes", "20"}},
		{"fork bomb that goes on", core.Limits{}, []string{"harm_bomb", "2000"}, "reached: .*", 0,
			handle.LimitHitProcesses, nil},
		{"fork bomb in the memory's limit", many, []string{"harm_processes", strconv.Itoa(harness.Repeat(1500, 5000))}, "(denied: fork.*)?",
			handle.CauseMemoryLimit, handle.LimitHitMemory, nil},
		{"threads", core.Limits{}, []string{"harm_threads", "5000"}, "denied: pthread_create after 6[0-9]: EAGAIN", 0,
			handle.LimitHitProcesses, []string{"harm_threads", "20"}},
		{"threads in the engine's limit", many, []string{"harm_threads", "5000"}, "", handle.CauseMemoryLimit, handle.LimitHitMemory, nil},
		{"zombies", core.Limits{}, []string{"harm_zombies", "10000"}, "denied: fork after 6[0-9]: EAGAIN", 0,
			handle.LimitHitProcesses, []string{"harm_zombies", "20"}},
		{"zombies in the memory's limit", many, []string{"harm_zombies", strconv.Itoa(harness.Repeat(3000, 20000))}, "(reached: [0-9]+ zombies|denied: fork after .*)?",
			handle.CauseMemoryLimit, handle.LimitHitMemory, nil},
		{"signal storm", core.Limits{}, []string{"harm_signals", "8", "2000"}, "(reached: .*\n?)+", 0, 0, []string{"harm_signals", "2", "100"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, h := newPatient(t, c.limits), startHeart(t)
			got := s.harm(c.args...)
			assert.Regexp(t, "^("+c.said+")$", got.said)
			if got.ended {
				assert.Equal(t, c.cause, s.Outcome().Cause, "the sandbox's end: %s", outcomeText(s.Outcome()))
				assert.Equal(t, c.limit, s.Outcome().Limits&c.limit, "limits of the sandbox")
				assert.Equal(t, c.limit, got.program.Limits, "limits of the program")
			} else {
				if c.name == "threads in the engine's limit" {
					assert.Equal(t, int32(unix.SIGKILL), got.program.Signal, "the engine kills a process with more than 4095 threads")
				} else {
					assert.NotEmpty(t, got.said, "the sandbox lives: the program has come to its own end")
				}
				if c.cause == 0 {
					assert.Equal(t, c.limit, got.program.Limits, "limits of the program")
				}
				s.goesOn(c.cause)
			}
			h.well()
			s.gone()
			if c.control != nil {
				for i, a := range c.control {
					c.control[i] = strings.Replace(a, "CONTROL", t.TempDir(), 1)
				}
				assert.True(t, outside(probes(t), c.control...).reached(), "control")
			}
		})
	}
}

// A reader that never reads stops the writer, and costs neither the supervisor
// nor the host any memory.
func TestOutputFlood(t *testing.T) {
	for _, kind := range []string{"pipe", "socket"} {
		t.Run(kind, func(t *testing.T) {
			s, h := newPatient(t, core.Limits{}), startHeart(t)
			before := resident(t, int(s.Pid()))
			o := core.ProcessOptions{
				Argv: []string{guestProbes, "harm_output", "1024"}, Stdio: [3]core.Stdio{harness.Null, harness.Pipe, harness.Pipe},
			}
			if kind == "socket" {
				_, theirs := socketpair(t)
				o.Stdio[1] = harness.FD(theirs)
			}
			p := harness.Start(t, s.Sandbox, o)
			p.Running()
			assert.Regexp(t, "^denied: stalled after [0-9]+ KiB", line(t, p.Err))
			assert.Less(t, resident(t, int(s.Pid()))-before, int64(16<<20), "growth of the supervisor")
			assert.Equal(t, "here\n", harness.Output(t, s.Sandbox, "echo here"))
			h.well()
			s.gone()
			assert.Regexp(t, "^denied: stalled", flood(t, probes(t)), "control: a full pipe stops a writer outside too")
		})
	}
}

// flood is what the probe says outside of a pipe that nobody reads.
func flood(t *testing.T, path string) string {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	said, err := os.CreateTemp(t.TempDir(), "said")
	require.NoError(t, err)
	defer said.Close()
	p, err := os.StartProcess(path, []string{path, "harm_output", "64"}, &os.ProcAttr{Files: []*os.File{nil, w, said}})
	require.NoError(t, err)
	w.Close()
	p.Wait()
	data, err := os.ReadFile(said.Name())
	require.NoError(t, err)
	return string(data)
}

var rss = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// resident is a process's memory in bytes.
func resident(t *testing.T, pid int) int64 {
	t.Helper()
	match := rss.FindStringSubmatch(host("/proc/" + strconv.Itoa(pid) + "/status"))
	require.NotNil(t, match)
	n, err := strconv.ParseInt(match[1], 10, 64)
	require.NoError(t, err)
	return n << 10
}

// Signals from the host as fast as it can: the program gets some of each, and
// the sandbox goes on.
func TestSignalsFromTheHost(t *testing.T) {
	s, h := newPatient(t, core.Limits{}), startHeart(t)
	p := harness.Start(t, s.Sandbox, core.ProcessOptions{
		Argv: []string{guestProbes, "harm_listen"}, Stdio: [3]core.Stdio{harness.Pipe, harness.Pipe, harness.Null},
	})
	p.Line("ready\n")
	sent := 0
	for end := time.Now().Add(time.Second); time.Now().Before(end); sent++ {
		require.NoError(t, p.Signal(int(unix.SIGUSR1)))
	}
	p.Stdin.Close()
	said := line(t, p.Out)
	assert.Regexp(t, "^reached: [0-9]+ signals", said)
	t.Logf("%d sent, %s", sent, said)
	assert.Equal(t, int32(0), p.End().ExitCode)
	h.well()
	s.gone()
}
