//go:build linux

package runtime_test

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/control"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

func TestMain(m *testing.M) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGIO) // its goroutine stays: before they are counted
	harness.Main(m)
}

// server is a living supervisor, seen from its control socket.
type server struct {
	t   *testing.T
	sb  *core.Sandbox
	dir string
}

func serve(t *testing.T) *server {
	o := harness.Options(t)
	sb := harness.Create(t, o)
	entries := harness.Entries(t, o.State.Dir)
	require.Len(t, entries, 1)
	return &server{t, sb, filepath.Join(o.State.Dir, "sandboxes", entries[0])}
}

// dial connects without a client: what is sent and read is the test's.
func (s *server) dial() *control.Conn {
	s.t.Helper()
	dir, err := os.Open(s.dir)
	require.NoError(s.t, err)
	defer dir.Close()
	conn, _, err := control.Dial(int(dir.Fd()))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

// raw connects with a bare descriptor, for frames that Conn would never send.
func (s *server) raw() int {
	s.t.Helper()
	dir, err := os.Open(s.dir)
	require.NoError(s.t, err)
	defer dir.Close()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { unix.Close(fd) })
	path := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), control.SocketName)
	require.NoError(s.t, unix.Connect(fd, &unix.SockaddrUnix{Name: path}))
	return fd
}

// answers requires that the owner is served as if nothing had happened.
func (s *server) answers() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := s.sb.Info(ctx)
	require.NoError(s.t, err)
	require.Equal(s.t, "in", harness.Output(s.t, s.sb, "printf in"))
}

// holds counts the supervisor's descriptors.
func (s *server) holds() int {
	s.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.sb.Pid()))
	require.NoError(s.t, err)
	return len(entries)
}

// spare is how many connections to its engine a supervisor may keep for later.
const spare = 4

// keeps requires that the supervisor comes back to holding no more than before.
func (s *server) keeps(before int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.holds() <= before+spare }, 10*time.Second, 5*time.Millisecond,
		"descriptors: %d before, %d now", before, s.holds())
}

func call(t *testing.T, conn *control.Conn, m *control.Message, fds ...int) error {
	t.Helper()
	m.Version = control.Protocol
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	require.NoError(t, conn.Send(m, fds...))
	reply, _, err := conn.Recv()
	require.NoError(t, err)
	require.Equal(t, control.Reply, reply.Type)
	require.Equal(t, m.ID, reply.ID)
	if reply.Err == nil {
		return nil
	}
	return reply.Err
}

func TestClientThatNeverReadsIsCutOff(t *testing.T) {
	s := serve(t)
	s.answers()
	before := s.holds()
	lazy := s.dial()
	require.NoError(t, lazy.SetDeadline(time.Now().Add(harness.Limit)))
	var err error
	for i := uint64(1); err == nil && i < 1000000; i++ {
		err = lazy.Send(&control.Message{Version: control.Protocol, Type: control.Info, ID: i})
		if i == 3000 {
			s.answers() // while the queue fills
		}
	}
	require.Error(t, err)
	assert.NotErrorIs(t, err, os.ErrDeadlineExceeded, "cut off, not left hanging")
	s.answers()
	lazy.Close()
	s.keeps(before)
}

func TestRequestsThatAreRefused(t *testing.T) {
	s := serve(t)
	s.answers()
	before := s.holds()
	conn := s.dial()
	null, err := os.Open("/dev/null")
	require.NoError(t, err)
	defer null.Close()
	fd := int(null.Fd())
	cases := []struct {
		request control.Type
		body    string
		fds     []int
		want    fault.Code
	}{
		{"no such request", "", nil, fault.Unsupported},
		{"no such request", "{}", []int{fd, fd, fd}, fault.Unsupported},
		{control.Ready, "", nil, fault.Unsupported},
		{control.Start, "", nil, fault.Invalid},
		{control.Start, "[]", []int{fd}, fault.Invalid},
		{control.Start, `{"p":1}`, nil, fault.Invalid},
		{control.Start, `{"p":1,"argv":["eA=="],"stdio":[0,0,0]}`, []int{fd}, fault.Invalid},
		{control.Start, `{"p":1,"argv":["eA=="],"stdio":[1,1,1]}`, []int{fd, fd}, fault.Invalid},
		{control.Start, `{"p":1,"argv":["eA=="],"stdio":[1,1,1]}`, nil, fault.Invalid},
		{control.Start, `{"p":1,"argv":["eA=="],"stdio":[9,0,0]}`, []int{fd}, fault.Invalid},
		{control.Start, `{"p":1,"argv":["eA=="],"stdio":[5,0,0]}`, nil, fault.Invalid},
		{control.Start, `{"p":1,"argv":["eA=="],"stdio":[0,5,5]}`, []int{fd}, fault.Invalid},
		{control.Start, `{"p":1,"argv":["no base64"],"stdio":[0,0,0]}`, nil, fault.Invalid},
		{control.Start, `{"p":1,"argv":["` + "L25vL3N1Y2g=" + `"],"stdio":[1,0,0]}`, []int{fd}, fault.Exec},
		{control.Signal, "", nil, fault.Invalid},
		{control.Signal, `{"p":1,"signo":9}`, nil, fault.Done},
		{control.Stop, `"x"`, nil, fault.Invalid},
		{control.Drain, `{"deadline_ns":"soon"}`, nil, fault.Invalid},
	}
	for i := range 8 * len(cases) { // often enough for a lost descriptor to show
		c := cases[i%len(cases)]
		m := &control.Message{Type: c.request, ID: 5}
		if c.body != "" {
			m.Body = []byte(c.body)
		}
		err := call(t, conn, m, c.fds...)
		require.Error(t, err, "%s %s", c.request, c.body)
		assert.Equal(t, c.want, fault.From(err).Code, "%s %s: %v", c.request, c.body, err)
	}
	assert.NoError(t, call(t, conn, &control.Message{Type: control.Info, ID: 6}), "the connection goes on")
	conn.Close()
	s.answers()
	s.keeps(before)
}

func TestProgramNumbersAreOfOneClient(t *testing.T) {
	s := serve(t)
	conn, other := s.dial(), s.dial()
	start := func(c *control.Conn) error {
		return call(t, c, &control.Message{Type: control.Start, ID: 1, Body: []byte(`{"p":1,"argv":["c2xlZXA=","MTAwMA=="],"env":["UEFUSD0vYmlu"],"stdio":[0,0,0]}`)})
	}
	require.NoError(t, start(conn))
	assert.ErrorIs(t, start(conn), &fault.Error{Code: fault.Invalid}, "the number is in use")
	signal := func(c *control.Conn) error {
		return call(t, c, &control.Message{Type: control.Signal, ID: 2, Body: []byte(`{"p":1,"signo":15}`)})
	}
	assert.ErrorIs(t, signal(other), &fault.Error{Code: fault.Done}, "it is not the other client's")
	require.NoError(t, start(other), "who has numbers of its own")
	kill := &control.Message{Version: control.Protocol, Type: control.Signal, ID: 2, Body: []byte(`{"p":1,"signo":15}`)}
	require.NoError(t, other.Send(kill))
	var got []control.Type // in either order
	for range 2 {
		m, _, err := other.Recv()
		require.NoError(t, err)
		require.Nil(t, m.Err)
		got = append(got, m.Type)
	}
	assert.ElementsMatch(t, []control.Type{control.Reply, control.Exited}, got)
	require.NoError(t, signal(conn), "the first one's program has lived on")
}

func TestGarbageEndsThatConnectionOnly(t *testing.T) {
	s := serve(t)
	s.answers()
	before := s.holds()
	for name, frame := range map[string]string{
		"no frame": "garbage", "no JSON": "i{", "other version": `i{"v":99,"t":"info"}`, "bad memfd": "m1234", "large": "i" + strings.Repeat("x", 80000),
	} {
		for _, fds := range [][]int{nil, {0, 0, 0}, make([]int, 30)} {
			fd := s.raw()
			var oob []byte
			if fds != nil {
				oob = unix.UnixRights(fds...)
			}
			require.NoError(t, unix.Sendmsg(fd, []byte(frame), oob, nil, unix.MSG_NOSIGNAL), name)
			poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(poll, 10000)
			require.NoError(t, err)
			require.Equal(t, 1, n, "%s: the connection is cut", name)
			got, _ := unix.Read(fd, make([]byte, 10))
			assert.LessOrEqual(t, got, 0, name)
		}
	}
	s.answers()
	s.keeps(before)
}

func TestTooManyConnections(t *testing.T) {
	s := serve(t)
	s.answers()
	before := s.holds()
	var conns []*control.Conn
	for range 120 {
		conns = append(conns, s.dial())
	}
	s.answers()
	served := 0
	for i, c := range conns {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if c.Send(&control.Message{Version: control.Protocol, Type: control.Info, ID: uint64(i + 1)}) != nil {
			continue
		}
		if _, _, err := c.Recv(); err == nil {
			served++
		}
	}
	assert.Equal(t, 64, served)
	for _, c := range conns {
		c.Close()
	}
	s.keeps(before)
	assert.NoError(t, call(t, s.dial(), &control.Message{Type: control.Info, ID: 1}), "there is room again")
}

// The end is told to all, and a client that does not read delays it by a second
// at most.
func TestEndWithALazyClient(t *testing.T) {
	s := serve(t)
	lazy, eager := s.dial(), s.dial()
	for i := range uint64(3000) {
		require.NoError(t, lazy.Send(&control.Message{Version: control.Protocol, Type: control.Info, ID: i + 1}))
	}
	require.NoError(t, call(t, eager, &control.Message{Type: control.Info, ID: 1}))
	begin := time.Now()
	require.NoError(t, s.sb.Stop(0))
	m, _, err := eager.Recv()
	require.NoError(t, err)
	assert.Equal(t, control.Ended, m.Type)
	harness.Wait(t, s.sb.Done(), "the end")
	assert.Less(t, time.Since(begin), 5*time.Second)
}
