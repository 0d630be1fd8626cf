package gvisor

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine"
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

func tell(t *testing.T, fd int, f frame) {
	t.Helper()
	buf := f.encode()
	_, err := unix.Write(fd, buf[:])
	require.NoError(t, err)
}

func TestFramesAreCarriedExactly(t *testing.T) {
	f := frame{kind: frameEnded, pid: -7, a: 1<<63 + 1, b: 2, c: 3}
	require.Equal(t, f, decodeFrame(f.encode()))
}

func TestUsageIsTold(t *testing.T) {
	link, sentry := linkToFake(t)
	defer unix.Close(sentry)
	tell(t, sentry, frame{kind: frameEnded, pid: 5, a: 3, b: 2, c: 1})
	u, ok := link.usage(5)
	require.True(t, ok)
	require.Equal(t, usage{all: 3, own: 2, peak: 1}, u)
	_, ok = link.usage(5)
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
		tell(t, sentry, frame{kind: frameEnded, pid: pid})
	}
	tell(t, sentry, frame{kind: frameDone, a: 12345})
	tell(t, sentry, frame{kind: 99})
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, link.call(short, frameKill, 1), context.DeadlineExceeded)
	link.mu.Lock()
	require.Len(t, link.ended, maxEnded)
	require.Empty(t, link.pending)
	link.mu.Unlock()
	require.NoError(t, unix.Close(sentry))
	require.Error(t, link.call(t.Context(), frameKill, 1))
	_, ok := link.usage(maxEnded + 1)
	require.False(t, ok)
}
