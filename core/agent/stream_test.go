package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// bootOne boots with the best way to kill that can be tested here.
func bootOne(t testing.TB) *machine { return boot(t, how(t)[0], enginetest.Root(t)) }

// piped is a program with a pipe for each stream.
type piped struct {
	engine.Process
	in       *os.File
	out, err *os.File
}

func startPiped(t testing.TB, m *machine, argv ...string) *piped {
	t.Helper()
	var p piped
	var theirs [3]*os.File
	var err error
	theirs[0], p.in, err = os.Pipe()
	require.NoError(t, err)
	p.out, theirs[1], err = os.Pipe()
	require.NoError(t, err)
	p.err, theirs[2], err = os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { closeFiles([3]*os.File{p.in, p.out, p.err}) })
	p.Process, err = m.Start(t.Context(), engine.Program{Argv: argv, Env: enginetest.DefaultEnv, Stdio: theirs})
	require.NoError(t, err)
	return &p
}

func (p *piped) wait(t testing.TB) syscall.WaitStatus {
	t.Helper()
	status, err := p.Wait()
	require.NoError(t, err)
	return status
}

// pattern is a reader of n bytes, and a writer that compares. Its period is prime, so
// that a loss or a swap shows.
type pattern struct{ at, n uint64 }

var period = func() []byte {
	b := make([]byte, 1<<20-3)
	rand.Read(b)
	return b
}()

// next returns up to n bytes of the pattern.
func (p *pattern) next(n int) []byte {
	part := period[p.at%uint64(len(period)):]
	part = part[:min(n, len(part))]
	p.at += uint64(len(part))
	return part
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.n {
		return 0, io.EOF
	}
	return copy(b, p.next(int(min(uint64(len(b)), p.n-p.at)))), nil
}

func (p *pattern) Write(b []byte) (n int, err error) {
	for n < len(b) {
		want := p.next(len(b) - n)
		if !bytes.Equal(want, b[n:n+len(want)]) {
			return n, io.ErrShortWrite
		}
		n += len(want)
	}
	return n, nil
}

// All bytes arrive, in order, in both directions at once: 1 GiB in the long tests.
func TestSoak(t *testing.T) {
	n := uint64(64 << 20)
	if os.Getenv("MSB_TEST_LONG") != "" {
		n = 1 << 30
	}
	m := bootOne(t)
	p := startPiped(t, m, "cat")
	start := time.Now()
	go func() {
		io.CopyBuffer(p.in, struct{ io.Reader }{&pattern{n: n}}, make([]byte, 64<<10))
		p.in.Close()
	}()
	got := &pattern{}
	_, err := io.CopyBuffer(struct{ io.Writer }{got}, struct{ io.Reader }{p.out}, make([]byte, 64<<10))
	require.NoError(t, err)
	require.Equal(t, n, got.at)
	require.Zero(t, p.wait(t))
	t.Logf("%d MiB each way, %.0f MB/s", n>>20, float64(n)/1e6/time.Since(start).Seconds())
}

// A reader that stalls stops its writer, and nobody else.
func TestStalledReader(t *testing.T) {
	m := bootOne(t)
	stalled := startPiped(t, m, "sh", "-c", "while printf x >/tmp/beat && cat /bin/busybox; do :; done")
	// It writes until every buffer between it and us is full.
	require.Eventually(t, func() bool {
		enginetest.Output(t, m, "rm", "-f", "/tmp/beat")
		time.Sleep(20 * time.Millisecond)
		out := enginetest.Output(t, m, "sh", "-c", "test -e /tmp/beat && echo runs || echo stands")
		return out == "stands"
	}, enginetest.Timeout, time.Millisecond)
	held := heldBytes(stalled.Process)
	assert.LessOrEqual(t, held, uint64(wire.Window))
	assert.GreaterOrEqual(t, held, uint64(wire.Window/2))
	for range 20 {
		p := startPiped(t, m, "cat")
		go func() {
			io.Copy(p.in, &pattern{n: 1 << 20})
			p.in.Close()
		}()
		n, err := io.Copy(struct{ io.Writer }{&pattern{}}, p.out)
		require.NoError(t, err)
		require.EqualValues(t, 1<<20, n)
	}
	assert.LessOrEqual(t, heldBytes(stalled.Process), uint64(wire.Window))
	require.NoError(t, stalled.Signal(unix.SIGKILL))
	require.Equal(t, syscall.SIGKILL, stalled.wait(t).Signal(), "nobody has read its output")
}

// heldBytes is what the client keeps of a program's output.
func heldBytes(p engine.Process) uint64 {
	o := p.(*Process).outputs[0]
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.received - o.delivered
}

func TestChildHoldsTheOutput(t *testing.T) {
	m := bootOne(t)
	p := startPiped(t, m, "sh", "-c", "exec 3<&0; setsid sh -c 'read x; echo late' <&3 & exit 4")
	status := make(chan syscall.WaitStatus, 1)
	go func() { status <- p.wait(t) }()
	select {
	case s := <-status:
		require.Equal(t, 4, s.ExitStatus())
	case <-time.After(enginetest.Timeout):
		t.Fatal("the end of a program was held up by its child")
	}
	require.NoError(t, p.in.Close())
	rest, err := io.ReadAll(p.out)
	require.NoError(t, err)
	require.Equal(t, "late\n", string(rest), "the child's output still comes")
}

func TestReaderThatLeaves(t *testing.T) {
	m := bootOne(t)
	p := startPiped(t, m, "sh", "-c", "while :; do echo yes; done")
	_, err := p.out.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, p.out.Close())
	require.Equal(t, syscall.SIGPIPE, p.wait(t).Signal())
}

func TestProgramThatClosesItsInput(t *testing.T) {
	m := bootOne(t)
	for name, script := range map[string]string{"at once": "exec <&-; read x <&2", "at its end": "read x"} {
		t.Run(name, func(t *testing.T) {
			p := startPiped(t, m, "sh", "-c", script)
			var err error
			require.Eventually(t, func() bool {
				_, err = p.in.Write([]byte("line\n"))
				return err != nil
			}, enginetest.Timeout, time.Millisecond)
			require.ErrorIs(t, err, syscall.EPIPE)
			p.Signal(unix.SIGKILL)
			p.Wait()
		})
	}
}

// What a program wrote is in its file when its end is told.
func TestOutputComesBeforeTheEnd(t *testing.T) {
	m := bootOne(t)
	path := filepath.Join(t.TempDir(), "out")
	for i := range 100 {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		require.NoError(t, err)
		p, err := m.Start(t.Context(), engine.Program{Argv: []string{"echo", "line"}, Env: enginetest.DefaultEnv, Stdio: [3]*os.File{nil, f}})
		require.NoError(t, err)
		_, err = p.Wait()
		require.NoError(t, err)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("line\n", i+1), string(text))
	}
}

// Output that nobody reads keeps Wait as it would keep the program, had it a pipe to
// the reader itself; a signal ends that.
func TestUnreadOutput(t *testing.T) {
	m := bootOne(t)
	p := startPiped(t, m, "head", "-c", "200000", "/dev/zero")
	<-p.Process.(*Process).ended
	status := make(chan syscall.WaitStatus, 1)
	go func() { status <- p.wait(t) }()
	require.ErrorIs(t, p.Signal(unix.SIGTERM), unix.ESRCH)
	select {
	case s := <-status:
		require.Zero(t, s)
	case <-time.After(enginetest.Timeout):
		t.Fatal("Wait goes on after a signal")
	}
	n, err := io.Copy(io.Discard, p.out)
	require.NoError(t, err)
	require.EqualValues(t, 200000, n, "it is delivered all the same")
}

func TestManyAtOnce(t *testing.T) {
	m := bootOne(t)
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			r, err := enginetest.Spawn(t, m, engine.Program{Argv: []string{"sh", "-c", "echo $0; echo $0 >&2; exit 3", strings.Repeat("z", i)}})
			if !assert.NoError(t, err) {
				return
			}
			text := strings.Repeat("z", i) + "\n"
			assert.Equal(t, enginetest.Result{Out: text, Err: text, Status: 3 << 8}, r.Result())
		})
	}
	all.Wait()
	require.Eventually(t, func() bool { return len(m.running()) == 0 }, enginetest.Timeout, time.Millisecond, "programs are forgotten")
}

func TestCanceledStart(t *testing.T) {
	m := bootOne(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := m.Start(ctx, engine.Program{Argv: []string{"sleep", "1000"}, Env: enginetest.DefaultEnv})
	require.ErrorIs(t, err, &fault.Error{Code: fault.Canceled})
	for after := time.Duration(0); after < 3*time.Millisecond; after += 200 * time.Microsecond {
		ctx, cancel := context.WithTimeout(context.Background(), after)
		if p, err := m.Start(ctx, engine.Program{Argv: []string{"sleep", "1000"}, Env: enginetest.DefaultEnv}); err == nil {
			require.NoError(t, p.Signal(unix.SIGKILL))
		} else {
			require.ErrorIs(t, err, &fault.Error{Code: fault.TimedOut})
		}
		cancel()
	}
	require.Eventually(t, func() bool {
		return !strings.Contains(enginetest.Output(t, m, "ps", "-o", "comm"), "sleep")
	}, enginetest.Timeout, time.Millisecond)
}
