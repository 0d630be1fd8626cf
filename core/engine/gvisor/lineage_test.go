package gvisor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/wire"
	"golang.org/x/sys/unix"
)

// linkToFake returns a link and the sentry's end of it, which the test plays.
func linkToFake(t *testing.T) (*lineageLink, int) {
	t.Helper()
	setup, err := newLineageLink(engine.Limits{})
	require.NoError(t, err)
	theirs, err := unix.Dup(int(setup.theirs.Fd()))
	require.NoError(t, err)
	setup.close()
	t.Cleanup(func() {
		setup.link.close()
		<-setup.link.gone
	})
	go setup.link.read()
	return setup.link, theirs
}

func tell(t *testing.T, fd int, f wire.Frame) {
	t.Helper()
	buf := f.Encode()
	_, err := unix.Write(fd, buf[:])
	require.NoError(t, err)
}

func TestFramesAreCarriedExactly(t *testing.T) {
	f := wire.Frame{Kind: wire.Ended, PID: -7, A: 1<<63 + 1, B: 2, C: 3}
	require.Equal(t, f, wire.Decode(f.Encode()))
}

func TestUsageIsTold(t *testing.T) {
	link, sentry := linkToFake(t)
	defer unix.Close(sentry)
	tell(t, sentry, wire.Frame{Kind: wire.Ended, PID: 5, A: 3, B: 2, C: 1})
	u, ok := link.usage(5, usageWait)
	require.True(t, ok)
	require.Equal(t, usage{all: 3, own: 2, peak: 1}, u)
	_, ok = link.usage(5, usageWait)
	require.False(t, ok, "it is told once")
	require.Empty(t, link.ended)
	require.Empty(t, link.waiting)
}

// What a sentry sends that went wrong costs the supervisor nothing.
func TestSentryThatWentWrong(t *testing.T) {
	link, sentry := linkToFake(t)
	for _, text := range []string{"x", string(make([]byte, 31)), string(make([]byte, 33)), string(make([]byte, 4096))} {
		_, err := unix.Write(sentry, []byte(text))
		require.NoError(t, err)
	}
	for pid := range int32(maxEnded + 100) {
		tell(t, sentry, wire.Frame{Kind: wire.Ended, PID: pid})
	}
	tell(t, sentry, wire.Frame{Kind: wire.Done, A: 12345})
	tell(t, sentry, wire.Frame{Kind: 99})
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, link.call(short, wire.Kill, 1), context.DeadlineExceeded)
	link.mu.Lock()
	require.Len(t, link.ended, maxEnded)
	require.Empty(t, link.pending)
	link.mu.Unlock()
	require.NoError(t, unix.Close(sentry))
	require.Error(t, link.call(t.Context(), wire.Kill, 1))
	_, ok := link.usage(maxEnded+1, usageWait)
	require.False(t, ok)
}
