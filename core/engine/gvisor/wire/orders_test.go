package wire

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func pair(t *testing.T) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fds[1]) })
	return fds[0], fds[1]
}

func TestOrdersAreCarriedWithTheirFiles(t *testing.T) {
	ours, theirs := pair(t)
	defer unix.Close(ours)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	sent := Orders{Args: []Arg{{Text: "boot"}, {Text: "--a-fd=", File: 1}, {Text: "id"}}, CPU: "x"}
	require.NoError(t, Send(ours, sent, []*os.File{w}))
	w.Close()
	args, got, err := Receive(theirs)
	require.NoError(t, err)
	assert.Equal(t, sent, got)
	require.Len(t, args, 3)
	var number int
	_, err = fmt.Sscanf(args[1], "--a-fd=%d", &number)
	require.NoError(t, err)
	_, err = unix.Write(number, []byte("hi"))
	require.NoError(t, err, "the pipe's end is this process's by that number")
	flags, err := unix.FcntlInt(uintptr(number), unix.F_GETFD, 0)
	require.NoError(t, err)
	assert.NotZero(t, flags&unix.FD_CLOEXEC)
	unix.Close(number)
	data := make([]byte, 2)
	_, err = r.Read(data)
	require.NoError(t, err)
	assert.Equal(t, "hi", string(data))
}

func TestOrdersThatAreNone(t *testing.T) {
	for name, data := range map[string]string{
		"no JSON": "?", "a descriptor that did not come": `{"args":[{"t":"--x=","f":1}]}`, "below none": `{"args":[{"t":"--x=","f":-1}]}`,
	} {
		ours, theirs := pair(t)
		_, err := unix.Write(ours, []byte(data))
		require.NoError(t, err)
		_, _, err = Receive(theirs)
		assert.Error(t, err, name)
		unix.Close(ours)
	}
	ours, theirs := pair(t)
	unix.Close(ours)
	_, _, err := Receive(theirs)
	assert.Error(t, err, "nobody is there")
	many := make([]*os.File, maxFiles+1)
	assert.ErrorContains(t, Send(theirs, Orders{}, many), "too long")
}
