package control

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/windows"
)

// pair is a connection of this process with itself: client and supervisor.
func pair(t *testing.T) (client, server *Conn) {
	t.Helper()
	dir := t.TempDir()
	listener, err := Listen(dir)
	require.NoError(t, err)
	accepted := make(chan *Conn, 1)
	go func() {
		conn, err := listener.Accept()
		assert.NoError(t, err)
		accepted <- conn
	}()
	client, pid, err := Dial(dir)
	require.NoError(t, err)
	assert.Equal(t, os.Getpid(), pid, "the system tells whose pipe it is")
	server = <-accepted
	require.NoError(t, listener.Close())
	_, err = listener.Accept()
	assert.ErrorIs(t, err, os.ErrClosed)
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

func TestMessagesAndHandles(t *testing.T) {
	client, server := pair(t)
	var r, w windows.Handle
	require.NoError(t, windows.CreatePipe(&r, &w, nil, 0))
	body := StartRequest{Argv: [][]byte{[]byte(strings.Repeat("x", 1<<20))}} // more than the pipe holds
	m, err := NewMessage(Start, 7, body)
	require.NoError(t, err)
	sent := make(chan error, 1)
	go func() { sent <- client.Send(m, int(w)) }()
	got, handles, err := server.Recv()
	require.NoError(t, err)
	require.NoError(t, <-sent)
	assert.Equal(t, m.Body, got.Body)
	require.Len(t, handles, 1)
	windows.CloseHandle(w)
	var n uint32
	require.NoError(t, windows.WriteFile(windows.Handle(handles[0]), []byte("hi"), &n, nil))
	CloseAll(handles)
	data, err := io.ReadAll(os.NewFile(uintptr(r), "r"))
	require.NoError(t, err, "the copy was the only one")
	assert.Equal(t, "hi", string(data))
}

// A supervisor cannot make the library close handles by naming their numbers.
func TestClientsTakeNoHandles(t *testing.T) {
	client, server := pair(t)
	server.peer = 0
	m, err := NewMessage(Ready, 0, nil)
	require.NoError(t, err)
	assert.Error(t, server.Send(m, 4), "who has no process to give to")
	_, err = server.file.Write([]byte{2, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, '{', '}'})
	require.NoError(t, err)
	_, _, err = client.Recv()
	assert.ErrorContains(t, err, "handles")
}

func TestFramesThatAreTooLong(t *testing.T) {
	client, server := pair(t)
	_, err := client.file.Write([]byte{0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0})
	require.NoError(t, err)
	_, _, err = server.Recv()
	assert.ErrorContains(t, err, "at most")
}

func TestSendEndsWithItsContext(t *testing.T) {
	client, _ := pair(t) // nobody reads
	body := StartRequest{Argv: [][]byte{[]byte(strings.Repeat("x", 1<<20))}}
	m, err := NewMessage(Start, 1, body)
	require.NoError(t, err)
	cause := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(context.Background(), 50*time.Millisecond, cause)
	defer cancel()
	assert.ErrorIs(t, client.SendContext(ctx, m), cause)
}

func TestEndOfFile(t *testing.T) {
	client, server := pair(t)
	client.Close()
	_, _, err := server.Recv()
	assert.ErrorIs(t, err, io.EOF)
}

// The offer is for one process: another client is sent away, and waiting ends.
func TestOfferRefusesStrangers(t *testing.T) {
	offer, err := NewOffer()
	require.NoError(t, err)
	defer offer.Close()
	_, err = Answer(offer.Name(), os.Getpid()+1)
	assert.ErrorContains(t, err, "belongs to process")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err = offer.Accept(ctx, os.Getpid()+1, windows.CurrentProcess())
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}
