//go:build linux

package control

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// pair makes both ends of a connection.
func pair(t testing.TB) (*Conn, *Conn) {
	t.Helper()
	ours, fd, err := Pair()
	require.NoError(t, err)
	theirs, err := NewConn(fd)
	require.NoError(t, err)
	t.Cleanup(func() {
		ours.Close()
		theirs.Close()
	})
	return ours, theirs
}

// rawPair makes a connection whose other end is a bare descriptor, for frames
// that Send would never make.
func rawPair(t testing.TB) (*Conn, int) {
	t.Helper()
	conn, fd, err := Pair()
	require.NoError(t, err)
	t.Cleanup(func() {
		conn.Close()
		unix.Close(fd)
	})
	return conn, fd
}

// openFDs counts this process's descriptors.
func openFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

func message(t testing.TB, body any) *Message {
	t.Helper()
	m, err := NewMessage(Info, 7, body)
	require.NoError(t, err)
	return m
}

func TestMessageArrivesAsSent(t *testing.T) {
	a, b := pair(t)
	sent := &Message{Version: Protocol, Type: Reply, ID: 1<<64 - 1,
		Err: &fault.Error{Code: fault.Exec, Errno: syscall.ENOENT, Stage: fault.StageCwd, Message: "ümlaut \x00 \" \n"}}
	require.NoError(t, a.Send(sent))
	got, fds, err := b.Recv()
	require.NoError(t, err)
	assert.Empty(t, fds)
	assert.Equal(t, sent, got)
}

func TestBytesOfArgvSurvive(t *testing.T) {
	a, b := pair(t)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	want := StartRequest{Program: 9, Argv: [][]byte{every, {}}, Env: [][]byte{every}, Cwd: every, Stdio: [3]Stdio{0, 1, 2}}
	require.NoError(t, a.Send(message(t, want)))
	m, _, err := b.Recv()
	require.NoError(t, err)
	var got StartRequest
	require.NoError(t, m.Into(&got))
	assert.Equal(t, want, got)
}

// Frames around the limit of one packet: the larger ones go through a memfd.
func TestSizesAroundOneFrame(t *testing.T) {
	a, b := pair(t)
	before := openFDs(t)
	overhead := len(mustJSON(t, message(t, ""))) + 1
	for _, size := range []int{0, 1, MaxFrame - overhead - 1, MaxFrame - overhead, MaxFrame - overhead + 1, MaxFrame, 1 << 20} {
		text := strings.Repeat("x", size)
		require.NoError(t, a.Send(message(t, text)), size)
		m, fds, err := b.Recv()
		require.NoError(t, err, size)
		assert.Empty(t, fds)
		var got string
		require.NoError(t, m.Into(&got))
		require.Equal(t, text, got)
	}
	assert.LessOrEqual(t, openFDs(t), before)
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return data
}

func TestMessageOfTooManyBytesIsRefused(t *testing.T) {
	a, _ := pair(t)
	before := openFDs(t)
	err := a.Send(message(t, strings.Repeat("x", MaxMessage)))
	assert.ErrorIs(t, err, syscall.E2BIG)
	assert.Equal(t, before, openFDs(t))
}

// One MiB of arguments is what the header promises, whatever they look like.
func TestLargestArgumentsFit(t *testing.T) {
	a, b := pair(t)
	const budget = 1 << 20 // core.MaxArguments: each string's bytes and its NUL
	for name, argument := range map[string][]byte{
		"one byte": {'x'}, "one string": bytes.Repeat([]byte{0xff}, budget-1),
	} {
		req := StartRequest{Argv: slicesOf(argument, budget/(len(argument)+1))}
		require.NoError(t, a.Send(message(t, req)), name)
		m, _, err := b.Recv()
		require.NoError(t, err, name)
		var got StartRequest
		require.NoError(t, m.Into(&got))
		require.Len(t, got.Argv, len(req.Argv), name)
	}
}

func slicesOf(b []byte, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = b
	}
	return out
}

func TestDescriptorsTravelInOrder(t *testing.T) {
	a, b := pair(t)
	for _, text := range []string{"", strings.Repeat("x", MaxFrame)} { // inline, and behind a memfd
		var fds []int
		for range MaxFDs - 1 {
			fd, err := SealedMemfd("n", []byte(strconv.Itoa(len(fds))))
			require.NoError(t, err)
			fds = append(fds, fd)
		}
		require.NoError(t, a.Send(message(t, text), fds...))
		CloseAll(fds)
		_, got, err := b.Recv()
		require.NoError(t, err)
		require.Len(t, got, MaxFDs-1)
		for i, fd := range got {
			data, err := ReadSealed(fd, -1)
			require.NoError(t, err)
			assert.Equal(t, strconv.Itoa(i), string(data))
			flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			require.NoError(t, err)
			assert.NotZero(t, flags&unix.FD_CLOEXEC, "received descriptors are close-on-exec")
		}
		CloseAll(got)
	}
}

func TestTooManyDescriptorsAreNotSent(t *testing.T) {
	a, _ := pair(t)
	fds := make([]int, MaxFDs)
	require.NoError(t, a.Send(message(t, nil), fds...), "the most that is allowed")
	before := openFDs(t)
	assert.Error(t, a.Send(message(t, nil), append(fds, 0)...))
	assert.Error(t, a.Send(message(t, strings.Repeat("x", MaxFrame)), fds...), "the memfd is one more")
	assert.Equal(t, before, openFDs(t))
}

// hostile sends a frame that Send would not make; the receiver must refuse it
// and keep no descriptor.
func hostile(t *testing.T, frame []byte, fds ...int) error {
	t.Helper()
	conn, fd := rawPair(t)
	before := openFDs(t)
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	require.NoError(t, unix.Sendmsg(fd, frame, oob, nil, 0))
	m, got, err := conn.Recv()
	assert.Nil(t, m)
	assert.Empty(t, got)
	assert.Equal(t, before, openFDs(t), "a refused frame must leave no descriptor")
	return err
}

func TestFramesThatAreRefused(t *testing.T) {
	good := mustJSON(t, message(t, nil))
	inline := append([]byte{frameInline}, good...)
	sealed, err := SealedMemfd("sealed", good)
	require.NoError(t, err)
	garbage, err := SealedMemfd("garbage", []byte("{"))
	require.NoError(t, err)
	open, err := unix.MemfdCreate("open", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	require.NoError(t, err)
	_, err = unix.Write(open, good)
	require.NoError(t, err)
	partly, err := unix.FcntlInt(uintptr(open), unix.F_DUPFD_CLOEXEC, 0)
	require.NoError(t, err)
	defer CloseAll([]int{sealed, garbage, open, partly})
	length := func(n uint64) []byte { return binary.LittleEndian.AppendUint64([]byte{frameMemfd}, n) }

	cases := []struct {
		name  string
		frame []byte
		fds   []int
	}{
		{"unknown marker", append([]byte{'?'}, good...), nil},
		{"only a marker", []byte{frameInline}, nil},
		{"no JSON", []byte("i{"), nil},
		{"no JSON, with descriptors", []byte("i{"), []int{sealed, 0, 1}},
		{"other version", []byte(`i{"v":2,"t":"info"}`), nil},
		{"no type", []byte(`i{"v":1}`), nil},
		{"number of the wrong kind", []byte(`i{"v":1,"t":"info","id":-1}`), nil},
		{"truncated", append(inline, bytes.Repeat([]byte{' '}, MaxFrame)...), nil},
		{"truncated, with descriptors", append(inline, bytes.Repeat([]byte{' '}, MaxFrame)...), []int{0, 1}},
		{"one descriptor too many", inline, make([]int, MaxFDs+1)},
		{"as many descriptors as the kernel passes", inline, make([]int, 253)},
		{"memfd missing", length(uint64(len(good))), nil},
		{"short memfd header", length(1)[:5], []int{sealed}},
		{"long memfd header", append(length(uint64(len(good))), 0), []int{sealed}},
		{"memfd longer than said", length(uint64(len(good)) - 1), []int{sealed}},
		{"memfd shorter than said", length(uint64(len(good)) + 1), []int{sealed}},
		{"negative length", length(1<<64 - 1), []int{sealed}},
		{"length beyond the limit", length(1 << 40), []int{sealed}},
		{"not a memfd", length(0), []int{0}},
		{"memfd holds no JSON", length(1), []int{garbage, 0}},
		{"memfd is not sealed", length(uint64(len(good))), []int{open}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { assert.Error(t, hostile(t, c.frame, c.fds...)) })
	}
	t.Run("memfd is sealed in part", func(t *testing.T) {
		_, err := unix.FcntlInt(uintptr(open), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW)
		require.NoError(t, err)
		assert.ErrorContains(t, hostile(t, length(uint64(len(good))), open), "not a sealed memfd")
	})
	t.Run("and their twins are not", func(t *testing.T) {
		for _, fds := range [][]int{nil, {sealed}} {
			conn, fd := rawPair(t)
			frame, oob := inline, []byte(nil)
			if fds != nil {
				frame, oob = length(uint64(len(good))), unix.UnixRights(fds...)
			}
			require.NoError(t, unix.Sendmsg(fd, frame, oob, nil, 0))
			m, _, err := conn.Recv()
			require.NoError(t, err)
			assert.Equal(t, Info, m.Type)
		}
	})
}

func TestRefusedFrameDoesNotEndTheConnection(t *testing.T) {
	conn, fd := rawPair(t)
	require.NoError(t, unix.Sendmsg(fd, []byte("i{"), nil, nil, 0))
	require.NoError(t, unix.Sendmsg(fd, append([]byte("i"), mustJSON(t, message(t, nil))...), nil, nil, 0))
	_, _, err := conn.Recv()
	assert.Error(t, err)
	_, _, err = conn.Recv()
	assert.NoError(t, err)
}

func TestEndOfFile(t *testing.T) {
	a, b := pair(t)
	require.NoError(t, a.Send(message(t, nil)))
	a.Close()
	_, _, err := b.Recv()
	assert.NoError(t, err, "what was sent before the end arrives")
	for range 2 {
		_, _, err = b.Recv()
		assert.ErrorIs(t, err, io.EOF)
	}
	err = b.Send(message(t, nil))
	assert.True(t, isBroken(err), "%v", err)
}

// A peer that dies with our bytes unread resets the connection: that is its end,
// and no error of ours.
func TestResetIsEndOfFile(t *testing.T) {
	conn, fd := rawPair(t)
	require.NoError(t, conn.Send(message(t, nil)))
	require.NoError(t, unix.Shutdown(fd, unix.SHUT_WR))
	unix.Close(fd)
	_, _, err := conn.Recv()
	assert.ErrorIs(t, err, io.EOF)
}

func TestCloseWakesBlockedReceiver(t *testing.T) {
	a, _ := pair(t)
	done := make(chan error, 1)
	go func() {
		_, _, err := a.Recv()
		done <- err
	}()
	a.Close()
	assert.Error(t, <-done)
}

// A caller tells its own close from other failures.
func TestCallsAfterClose(t *testing.T) {
	a, _ := pair(t)
	require.NoError(t, a.Close())
	assert.ErrorIs(t, a.Send(message(t, nil)), os.ErrClosed)
	_, _, err := a.Recv()
	assert.ErrorIs(t, err, os.ErrClosed)
	_, err = a.Peer()
	assert.ErrorIs(t, err, os.ErrClosed)
}

func TestDeadlineEndsBlockedSender(t *testing.T) {
	a, _ := pair(t)
	require.NoError(t, a.SetDeadline(time.Now().Add(50*time.Millisecond)))
	var err error
	for err == nil {
		err = a.Send(message(t, strings.Repeat("x", 60000)))
	}
	assert.True(t, errors.Is(err, os.ErrDeadlineExceeded), "%v", err)
}

// Concurrent senders' frames stay whole.
func TestConcurrentSenders(t *testing.T) {
	a, b := pair(t)
	const senders, each = 16, 20
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				m, err := NewMessage(Info, uint64(s*each+i+1), strings.Repeat("x", i%5*30000))
				if assert.NoError(t, err) {
					assert.NoError(t, a.Send(m))
				}
			}
		})
	}
	seen := map[uint64]bool{}
	for range senders * each {
		m, _, err := b.Recv()
		require.NoError(t, err)
		seen[m.ID] = true
	}
	wg.Wait()
	assert.Len(t, seen, senders*each)
}

func TestPeerIsThisProcess(t *testing.T) {
	a, _ := pair(t)
	cred, err := a.Peer()
	require.NoError(t, err)
	assert.Equal(t, int32(os.Getpid()), cred.Pid)
	assert.Equal(t, uint32(os.Geteuid()), cred.Uid)
}
