//go:build linux

package control

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// clientPair makes a client and the server's end of its connection.
func clientPair(t testing.TB, onEvent func(*Message)) (*Client, *Conn) {
	t.Helper()
	ours, theirs := pair(t)
	c := NewClient(ours, onEvent)
	t.Cleanup(func() {
		c.Close()
		<-c.Closed()
	})
	return c, theirs
}

func noEvents(t testing.TB) func(*Message) {
	return func(m *Message) { t.Errorf("unexpected event %s", m.Type) }
}

// echo answers each request with its own body, n requests at a time and each
// batch in reverse order.
func echo(conn *Conn, n int) {
	for {
		batch := make([]*Message, 0, n)
		for range n {
			m, _, err := conn.Recv()
			if err != nil {
				return
			}
			batch = append(batch, m)
		}
		for i := len(batch) - 1; i >= 0; i-- {
			conn.Send(&Message{Version: Protocol, Type: Reply, ID: batch[i].ID, Body: batch[i].Body})
		}
	}
}

func TestConcurrentCallersGetTheirOwnReplies(t *testing.T) {
	const callers, each = 64, 50
	c, server := clientPair(t, noEvents(t))
	go echo(server, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range each {
				var got int
				if assert.NoError(t, c.Call(context.Background(), Info, i*each+j, &got)) {
					assert.Equal(t, i*each+j, got)
				}
			}
		})
	}
	wg.Wait()
}

func TestRepliesOutOfOrder(t *testing.T) {
	c, server := clientPair(t, noEvents(t))
	const n = 5
	go echo(server, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			var got int
			assert.NoError(t, c.Call(context.Background(), Info, i, &got))
			assert.Equal(t, i, got)
		})
	}
	wg.Wait()
}

func TestEventsComeInOrderAndBetweenReplies(t *testing.T) {
	const n = 500
	got := make(chan uint64, n)
	c, server := clientPair(t, func(m *Message) {
		var e ExitedEvent
		if assert.NoError(t, m.Into(&e)) {
			got <- e.Program
		}
	})
	for i := range uint64(n) {
		m, err := NewMessage(Exited, 0, ExitedEvent{Program: i})
		require.NoError(t, err)
		if i == n/2 {
			go echo(server, 1)
			require.NoError(t, c.Call(context.Background(), Info, nil, nil))
		}
		require.NoError(t, server.Send(m))
	}
	for i := range uint64(n) {
		require.Equal(t, i, <-got)
	}
}

func TestErrorsOfTheServerArrive(t *testing.T) {
	c, server := clientPair(t, noEvents(t))
	want := fault.New(fault.Exec, fault.StageCwd, "no such directory")
	want.Errno = unix.ENOENT
	go func() {
		m, _, err := server.Recv()
		if err == nil {
			server.Send(&Message{Version: Protocol, Type: Reply, ID: m.ID, Err: want})
		}
	}()
	err := c.Call(context.Background(), Start, StartRequest{}, nil)
	assert.Equal(t, want, fault.From(err))
	assert.ErrorIs(t, err, unix.ENOENT)
}

func TestCallsFailWhenTheOtherEndCloses(t *testing.T) {
	c, server := clientPair(t, noEvents(t))
	const callers = 8
	errs := make(chan error, callers)
	for range callers {
		go func() { errs <- c.Call(context.Background(), Info, nil, nil) }()
	}
	for range callers {
		_, _, err := server.Recv()
		require.NoError(t, err)
	}
	server.Close()
	for range callers {
		assert.ErrorIs(t, <-errs, &fault.Error{Code: fault.Gone})
	}
	<-c.Closed()
	assert.ErrorIs(t, c.Call(context.Background(), Info, nil, nil), &fault.Error{Code: fault.Gone})
}

func TestCallsFailWhenTheClientCloses(t *testing.T) {
	c, server := clientPair(t, noEvents(t))
	errs := make(chan error, 1)
	go func() { errs <- c.Call(context.Background(), Info, nil, nil) }()
	_, _, err := server.Recv()
	require.NoError(t, err)
	c.Close()
	assert.ErrorIs(t, <-errs, &fault.Error{Code: fault.Gone})
}

func TestContextEndsACall(t *testing.T) {
	c, server := clientPair(t, noEvents(t))
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	errs := make(chan error, 1)
	go func() { errs <- c.Call(ctx, Info, "late", nil) }()
	late, _, err := server.Recv()
	require.NoError(t, err)
	cancel(cause)
	assert.Equal(t, cause, <-errs)

	// Its reply comes late, and must not be taken for the next call's.
	go echo(server, 1)
	require.NoError(t, server.Send(&Message{Version: Protocol, Type: Reply, ID: late.ID, Body: late.Body}))
	var got string
	require.NoError(t, c.Call(context.Background(), Info, "next", &got))
	assert.Equal(t, "next", got)
	assert.Empty(t, c.pending)
}

func TestEndedContextSendsNothingMore(t *testing.T) {
	c, _ := clientPair(t, noEvents(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 1000 { // more than the socket takes
		require.ErrorIs(t, c.Call(ctx, Info, strings.Repeat("x", 10000), nil), context.Canceled)
	}
}

// Replies that nobody asked for, doubled ones, descriptors and garbage.
func TestHostileServer(t *testing.T) {
	ours, fd, err := Pair()
	require.NoError(t, err)
	defer unix.Close(fd)
	events := 0
	c := NewClient(ours, func(*Message) { events++ })
	before := openFDs(t)
	send := func(text string, fds ...int) {
		var oob []byte
		if len(fds) > 0 {
			oob = unix.UnixRights(fds...)
		}
		require.NoError(t, unix.Sendmsg(fd, []byte("i"+text), oob, nil, 0))
	}
	send(`{"v":1,"t":"reply","id":77}`)
	send(`{"v":1,"t":"reply"}`)
	send(`{"v":1,"t":"exited","b":{"p":1}}`, 0, 1, 2)
	send(`{"v":1,"t":"never heard of"}`)

	result := make(chan error, 2)
	buf := make([]byte, 1000)
	call := func(reply string) error {
		go func() {
			var into struct{ X int }
			result <- c.Call(context.Background(), Info, nil, &into)
		}()
		n, err := unix.Read(fd, buf)
		require.NoError(t, err)
		var m Message
		require.NoError(t, json.Unmarshal(buf[1:n], &m))
		id, err := json.Marshal(m.ID)
		require.NoError(t, err)
		send(strings.ReplaceAll(reply, "ID", string(id)))
		send(strings.ReplaceAll(reply, "ID", string(id)))
		return <-result
	}
	assert.NoError(t, call(`{"v":1,"t":"reply","id":ID,"b":{"X":1}}`))
	assert.Error(t, call(`{"v":1,"t":"reply","id":ID,"b":"no struct"}`))
	assert.Error(t, call(`{"v":1,"t":"reply","id":ID}`), "a body is missing")
	assert.NoError(t, call(`{"v":1,"t":"reply","id":ID,"b":{"X":1}}`))
	assert.Equal(t, before, openFDs(t))

	send(`garbage`)
	<-c.Closed()
	assert.Equal(t, 2, events)
	assert.ErrorIs(t, c.Call(context.Background(), Info, nil, nil), &fault.Error{Code: fault.Gone})
}

func TestDialAndListen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 60)) // beyond the 108 bytes of sun_path
	require.NoError(t, os.Mkdir(dir, 0o700))
	f, err := os.Open(dir)
	require.NoError(t, err)
	defer f.Close()

	_, _, err = Dial(int(f.Fd()))
	assert.ErrorIs(t, err, unix.ENOENT)
	l, err := Listen(int(f.Fd()))
	require.NoError(t, err)
	_, err = Listen(int(f.Fd()))
	assert.ErrorIs(t, err, unix.EADDRINUSE)

	conn, pid, err := Dial(int(f.Fd()))
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), pid)
	server, err := l.Accept()
	require.NoError(t, err)
	go echo(server, 1)
	c := NewClient(conn, noEvents(t))
	require.NoError(t, c.Call(context.Background(), Info, nil, nil))
	c.Close()
	server.Close()

	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	l.Close()
	assert.Error(t, <-accepted)
	_, _, err = Dial(int(f.Fd()))
	assert.ErrorIs(t, err, unix.ECONNREFUSED)
}

func TestPingNeedsAnAnswer(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	assert.False(t, Ping(int(dir.Fd()), 50e6), "nobody listens")
	l, err := Listen(int(dir.Fd()))
	require.NoError(t, err)
	defer l.Close()
	assert.False(t, Ping(int(dir.Fd()), 50e6), "nobody answers")
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go echo(conn, 1)
		}
	}()
	assert.True(t, Ping(int(dir.Fd()), 10e9))
}
