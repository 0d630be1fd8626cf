package pid1

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
)

// nobody is a killer that starts and signals nothing.
type nobody struct{}

func (nobody) how() uint8                       { return wire.KillCgroup }
func (nobody) direct() bool                     { return true }
func (nobody) newFamily(uint32) (family, error) { return nobody{}, nil }
func (nobody) owner(int) uint32                 { return 0 }
func (nobody) strayed(int)                      {}
func (nobody) signalAll(unix.Signal) error      { return nil }
func (nobody) pid(int) int                      { return 7 }
func (nobody) signal(int, unix.Signal) error    { return nil }
func (nobody) killAll() error                   { return nil }
func (nobody) cpuTime(uint64) uint64            { return 0 }
func (nobody) limit(uint32) error               { return nil }
func (nobody) refused() bool                    { return false }
func (nobody) ended()                           {}
func (nobody) fork(_ int, fds []int, _ syscall.Credential, _ bool) (int, error) {
	return 1 << 29, nil
}

// newTestAgent is an agent that is configured, and can do no harm.
func newTestAgent(t testing.TB) (a *Agent, host int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	t.Setenv("MSB_AGENT_KILL", "lineage") // not to touch the cgroups of the test's machine
	a, err = New(fds[0], false)
	require.NoError(t, err)
	a.kill, a.configured, a.cwd, a.files = nobody{}, true, "/", 64
	require.NoError(t, a.port.start())
	t.Cleanup(func() {
		for _, p := range a.programs {
			p.discard()
		}
		for _, fd := range []int{fds[0], fds[1], a.null, a.random, a.self, a.launcher, a.poll.fd, a.poll.wakeFD} {
			unix.Close(fd)
		}
	})
	return a, fds[1]
}

func encode(kind wire.Kind, stream uint8, id uint32, body func([]byte) []byte) []byte {
	b := wire.AppendHeader(nil, wire.Header{Kind: kind, Stream: stream, ID: id})
	if body != nil {
		b = body(b)
	}
	return wire.Finish(b, 0)
}

func text(s string) func([]byte) []byte { return func(b []byte) []byte { return append(b, s...) } }

// harmless tells whether a stream asks for nothing that acts on the machine of the test.
func harmless(b []byte) bool {
	for len(b) >= wire.HeaderSize {
		h, err := wire.DecodeHeader(b, false)
		if err != nil {
			return true
		}
		switch h.Kind {
		case wire.KindRenew, wire.KindSync, wire.KindPowerOff:
			return false
		}
		whole := wire.HeaderSize + int(h.Length)
		if len(b) < whole {
			return true
		}
		b = b[whole:]
	}
	return true
}

// Whatever bytes come from the host's side, what the agent says back is well-formed,
// and it sees the end.
func FuzzHost(f *testing.F) {
	start := wire.Start{Program: 1, Umask: wire.Unchanged, Stdio: [3]uint8{1, 1, 0}, Argv: []string{"x"}}
	hello, kill := wire.Hello{Min: 1, Max: 1, Nonce: 5}, wire.Signal{Program: 1, Signo: 9}
	begin := encode(wire.KindStart, 0, 1, start.Append)
	join := func(frames ...[]byte) (all []byte) {
		for _, b := range frames {
			all = append(all, b...)
		}
		return all
	}
	f.Add(encode(wire.KindHello, 0, 1, hello.Append))
	f.Add(join(begin, begin))
	f.Add(join(begin, encode(wire.KindData, 0, 1, text("abc")), encode(wire.KindClose, 0, 1, nil), encode(wire.KindClose, 0, 1, nil)))
	f.Add(join(begin, encode(wire.KindClose, 1, 1, nil), encode(wire.KindClose, 1, 1, nil), encode(wire.KindCredit, 1, 1, text("abcd"))))
	f.Add(join(begin, encode(wire.KindSignal, 0, 2, kill.Append), encode(wire.KindUsage, 0, 3, nil)))
	f.Add(join(begin, encode(wire.KindData, 1, 1, text("abc"))))
	f.Add(encode(wire.KindConfigure, 0, 1, text("x")))
	f.Add([]byte{255, 255, 255, 255, 3, 0, 0, 0, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, bytes []byte) {
		if len(bytes) > 64<<10 || !harmless(bytes) {
			return
		}
		a, host := newTestAgent(t)
		if len(bytes) > 0 {
			_, err := unix.Write(host, bytes)
			require.NoError(t, err)
		}
		require.NoError(t, unix.Shutdown(host, unix.SHUT_WR))
		for range 1000 {
			if a.port.ended != nil {
				break
			}
			require.NoError(t, a.poll.wait())
			a.port.flush()
		}
		require.Error(t, a.port.ended, "the end of the stream was not seen")
		for out := readAll(host); len(out) >= wire.HeaderSize; {
			h, err := wire.DecodeHeader(out, true)
			require.NoError(t, err)
			out = out[wire.HeaderSize+int(h.Length):]
		}
	})
}

func readAll(fd int) (all []byte) {
	for buf := make([]byte, 64<<10); ; {
		n, err := unix.Read(fd, buf)
		if n <= 0 || err != nil {
			return all
		}
		all = append(all, buf[:n]...)
	}
}

func TestMeminfo(t *testing.T) {
	used, files := memory("MemTotal:  1000 kB\nMemFree: 300 kB\nBuffers: 10 kB\nCached: 290 kB\nSReclaimable: 50 kB\nShmem: 90 kB\nHugePages_Total: 0\n")
	require.EqualValues(t, 440<<10, used, "what the cache has of files in memory is in use")
	require.EqualValues(t, 90<<10, files)
	used, files = memory("noise")
	require.Zero(t, used)
	require.Zero(t, files)
}
