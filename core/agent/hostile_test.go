package agent

import (
	"bytes"
	"context"
	"io"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/agent/wire"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/enginetest"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// evil is a guest that says what a test wants.
type evil struct {
	t testing.TB
	*os.File
}

func newEvil(t testing.TB, options Options) (*Client, *evil) {
	t.Helper()
	ours, theirs := pair(t)
	c := NewClient(ours, options)
	t.Cleanup(func() {
		c.Close()
		theirs.Close()
	})
	return c, &evil{t, theirs}
}

// next reads a frame of the host.
func (e *evil) next() (wire.Header, []byte) {
	e.t.Helper()
	var b [wire.HeaderSize]byte
	_, err := io.ReadFull(e, b[:])
	require.NoError(e.t, err)
	h, err := wire.DecodeHeader(b[:], false)
	require.NoError(e.t, err)
	payload := make([]byte, h.Length)
	_, err = io.ReadFull(e, payload)
	require.NoError(e.t, err)
	return h, payload
}

func raw(h wire.Header, payload []byte) []byte {
	return frame(h, func(b []byte) []byte { return append(b, payload...) })
}

func data(id uint32, stream uint8, n int) []byte {
	return raw(wire.Header{Kind: wire.KindData, Stream: stream, ID: id}, bytes.Repeat([]byte("x"), n))
}

func closing(id uint32, stream uint8) []byte {
	return raw(wire.Header{Kind: wire.KindClose, Stream: stream, ID: id}, nil)
}

func credit(id uint32, stream uint8, n uint32) []byte {
	return raw(wire.Header{Kind: wire.KindCredit, Stream: stream, ID: id}, []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
}

func exited(id, status uint32) []byte {
	m := wire.Exited{Status: status}
	return frame(wire.Header{Kind: wire.KindExited, ID: id}, m.Append)
}

func reply(id uint32, m wire.Reply) []byte {
	return frame(wire.Header{Kind: wire.KindReply, ID: id}, m.Append)
}

// startOn starts a program, number 1, on a guest that grants it.
func startOn(t testing.TB, c *Client, e *evil, stdio [3]*os.File) *Process {
	t.Helper()
	go func() {
		h, _ := e.next()
		started := wire.Started{PID: 5}
		e.Write(reply(h.ID, wire.Reply{Body: started.Append(nil)}))
	}()
	p, err := c.Start(t.Context(), engine.Program{Argv: []string{"x"}, Stdio: stdio})
	require.NoError(t, err)
	return p
}

// A guest that breaks a rule is cut off; the rule is named, nothing hangs.
func TestBrokenRules(t *testing.T) {
	long := func(kind wire.Kind, n uint32) []byte {
		return append(wire.AppendHeader(nil, wire.Header{Length: n, Kind: kind, ID: 1}), make([]byte, 64)...)
	}
	twice := func(b []byte) []byte { return append(b, b...) }
	for name, c := range map[string]struct {
		bytes []byte
		rule  string
	}{
		"noise":                         {bytes.Repeat([]byte{0xff}, 100), "reserved bytes"},
		"zeros":                         {make([]byte, 100), "id 0"},
		"unknown kind":                  {raw(wire.Header{Kind: 99, ID: 1}, nil), "unknown kind"},
		"request of the host":           {raw(wire.Header{Kind: wire.KindStart, ID: 1}, nil), "unknown kind"},
		"long data":                     {long(wire.KindData, wire.MaxData+1), "too long"},
		"endless reply":                 {long(wire.KindReply, 1<<32-1), "too long"},
		"empty data":                    {long(wire.KindData, 0), "empty"},
		"stream 3":                      {data(1, 3, 1), "no such stream"},
		"stream of a reply":             {raw(wire.Header{Kind: wire.KindReply, Stream: 1, ID: 1}, nil), "no such stream"},
		"data of no program":            {data(7, 1, 1), "does not run"},
		"data of standard input":        {data(1, 0, 1), "that is none"},
		"data of a stream that is none": {data(1, 2, 1), "that is none"},
		"data without credit":           {bytes.Repeat(data(1, 1, wire.MaxData), 2*wire.Window/wire.MaxData), "without credit"},
		"data after the end":            {append(closing(1, 1), data(1, 1, 1)...), "without credit"},
		"end twice":                     {twice(closing(1, 1)), "ended twice"},
		"end of input twice":            {twice(closing(1, 0)), "ended twice"},
		"credit for an output":          {credit(1, 1, 1), "that is none"},
		"too much credit":               {credit(1, 0, wire.InputWindow), "too much credit"},
		"credit that overflows":         {credit(1, 0, 1<<32-1), "too much credit"},
		"no credit":                     {credit(1, 0, 0), "too much credit"},
		"long credit":                   {raw(wire.Header{Kind: wire.KindCredit, ID: 1}, make([]byte, 5)), "4 bytes"},
		"close with a payload":          {raw(wire.Header{Kind: wire.KindClose, ID: 1}, []byte{1}), "too long"},
		"reply to nobody":               {reply(1<<31, wire.Reply{}), "no request"},
		"reply twice":                   {reply(1, wire.Reply{}), "no request"},
		"short reply":                   {raw(wire.Header{Kind: wire.KindReply, ID: 1}, []byte{1}), "too short"},
		"reply with a lying length":     {raw(wire.Header{Kind: wire.KindReply, ID: 1}, []byte{0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255}), "too long"},
		"two ends":                      {twice(exited(1, 0)), "does not run"},
		"an end that is none":           {exited(1, 0x7f), "does not run"},
		"short end":                     {raw(wire.Header{Kind: wire.KindExited, ID: 1}, []byte{1}), "too short"},
	} {
		t.Run(name, func(t *testing.T) {
			client, guest := newEvil(t, Options{Log: t.Logf})
			in, keep, err := os.Pipe()
			require.NoError(t, err)
			defer keep.Close()
			out, theirs, err := os.Pipe()
			require.NoError(t, err)
			defer out.Close()
			p := startOn(t, client, guest, [3]*os.File{in, theirs})
			// Fill the pipe, so that the program's output stays where it came.
			go guest.Write(append(data(1, 1, 1), c.bytes...))
			select {
			case <-client.Done():
			case <-time.After(enginetest.Timeout):
				t.Fatal("it was not noticed")
			}
			require.ErrorContains(t, client.Err(), c.rule)
			p.Wait()
			_, err = client.Usage(context.Background())
			require.ErrorIs(t, err, &fault.Error{Code: fault.Gone})
			require.ErrorContains(t, err, c.rule)
			require.NoError(t, client.Close())
			requireNoWorkers(t)
		})
	}
}

// Answers that the guest makes up end the stream, too, and never reach the caller.
func TestWrongAnswers(t *testing.T) {
	for name, body := range map[string][]byte{"empty": nil, "noise": bytes.Repeat([]byte{7}, 50), "another hello's": (&wire.Welcome{Version: 1}).Append(nil)} {
		t.Run(name, func(t *testing.T) {
			client, guest := newEvil(t, Options{})
			go func() {
				h, _ := guest.next()
				guest.Write(reply(h.ID, wire.Reply{Body: body}))
			}()
			_, err := client.Hello(t.Context())
			require.Error(t, err)
			<-client.Done()
		})
	}
	t.Run("text", func(t *testing.T) {
		client, guest := newEvil(t, Options{})
		go func() {
			h, _ := guest.next()
			guest.Write(reply(h.ID, wire.Reply{Errno: 5, Text: "a\nb\x1b[31m\xff"}))
		}()
		err := client.Sync(t.Context())
		require.EqualError(t, err, "flush the guest's files: a?b?[31m?: input/output error")
	})
}

// A guest that says nothing is waited for as long as the caller wants.
func TestSilentGuest(t *testing.T) {
	client, guest := newEvil(t, Options{RequestTimeout: 50 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := client.Hello(ctx)
	require.ErrorIs(t, err, &fault.Error{Code: fault.TimedOut})
	require.ErrorIs(t, client.SignalAll(t.Context(), syscall.SIGTERM), &fault.Error{Code: fault.TimedOut})
	_, err = client.Start(ctx, engine.Program{Argv: []string{"x"}})
	require.ErrorIs(t, err, &fault.Error{Code: fault.TimedOut})
	select {
	case <-client.Done():
		t.Fatal("a slow guest is no broken one")
	default:
	}
	// Half a frame is no frame.
	_, err = guest.Write(data(1, 1, 100)[:50])
	require.NoError(t, err)
	require.NoError(t, client.Close())
	requireNoWorkers(t)
}

// A program whose start nobody waited for is killed once it runs.
func TestLateStart(t *testing.T) {
	client, guest := newEvil(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		h, _ := guest.next()
		cancel()
		<-ctx.Done()
		started := wire.Started{PID: 5}
		guest.Write(reply(h.ID, wire.Reply{Body: started.Append(nil)}))
	}()
	_, err := client.Start(ctx, engine.Program{Argv: []string{"x"}})
	if err != nil {
		require.ErrorIs(t, err, &fault.Error{Code: fault.Canceled})
		h, payload := guest.next()
		require.Equal(t, wire.KindSignal, h.Kind)
		m, err := wire.DecodeSignal(payload)
		require.NoError(t, err)
		require.Equal(t, wire.Signal{Program: 1, Signo: 9}, m)
	}
}

// A guest that does not read is given up.
func TestGuestThatDoesNotRead(t *testing.T) {
	client, guest := newEvil(t, Options{WriteTimeout: 100 * time.Millisecond})
	p := startOn(t, client, guest, [3]*os.File{openZero(t)})
	require.NotNil(t, p)
	for range 64 { // what a socket holds
		go client.Start(t.Context(), engine.Program{Argv: []string{"x", string(bytes.Repeat([]byte("y"), 100000))}})
	}
	<-client.Done()
	require.ErrorContains(t, client.Err(), "took no data")
}

func openZero(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Open("/dev/zero")
	require.NoError(t, err)
	return f
}

// Whatever a guest sends, the host keeps a bounded part of it.
func TestFloods(t *testing.T) {
	var before, after runtime.MemStats
	logged := 0
	client, guest := newEvil(t, Options{Log: func(string, ...any) { logged++ }})
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 50 {
		_, err := guest.Write(bytes.Repeat(raw(wire.Header{Kind: wire.KindLog}, bytes.Repeat([]byte("l"), 1000)), 1000))
		require.NoError(t, err)
	}
	require.NoError(t, guest.Close())
	<-client.Done()
	require.ErrorIs(t, client.Err(), io.EOF)
	client.Close()
	runtime.GC()
	runtime.ReadMemStats(&after)
	assert.LessOrEqual(t, logged, maxLogged)
	assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(8<<20))
}

// A guest that owes what it said a program wrote holds Wait up for a while only.
func TestOutputThatNeverComes(t *testing.T) {
	client, guest := newEvil(t, Options{RequestTimeout: 200 * time.Millisecond})
	_, theirs, err := os.Pipe()
	require.NoError(t, err)
	p := startOn(t, client, guest, [3]*os.File{nil, theirs})
	m := wire.Exited{Status: 0, CPUTime: wire.Unknown, OwnCPUTime: 1 << 63, Written: [2]uint64{1 << 60, 1 << 60}}
	_, err = guest.Write(frame(wire.Header{Kind: wire.KindExited, ID: 1}, m.Append))
	require.NoError(t, err)
	status, err := p.Wait()
	require.NoError(t, err)
	require.Zero(t, status)
	require.Equal(t, engine.ProgramUsage{CPUTime: -1, OwnCPUTime: -1}, p.Usage())
}
