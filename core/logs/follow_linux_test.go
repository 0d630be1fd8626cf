package logs

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFollow(t *testing.T) {
	_, fd := place(t)
	w := writer(t, fd)
	w.Printf("before")
	r := reader(t, fd, Options{Follow: true})
	news := reader(t, fd, Options{Follow: true, Lines: -1})
	assert.Equal(t, "before\n", string(next(t, r).Content))
	for n := uint64(1); n <= 300; n++ { // through several files
		w.Write(Stdout, n, numbered(n))
		require.Equal(t, numbered(n), next(t, r).Content)
		require.Equal(t, n, next(t, news).Program)
	}
	rest := follow(t, r)
	w.Printf("last words")
	w.Close()
	assert.Equal(t, "last words\n", text(wait(t, rest)), "a follower ends with the writer, and has all")
	assert.Equal(t, "last words\n", string(next(t, news).Content))
	assert.Zero(t, next(t, news).Source)
}

func TestFollowWithoutEvents(t *testing.T) {
	_, fd := place(t)
	w := writer(t, fd)
	r := reader(t, fd, Options{Follow: true})
	r.watch.close() // as on a host that has no inotify instances left
	r.watch.events = nil
	rest := follow(t, r)
	w.Printf("seen")
	time.AfterFunc(2*blindLook, w.Close)
	assert.Equal(t, "seen\n", text(wait(t, rest)))
}

func TestOvertakenFollower(t *testing.T) {
	_, fd := place(t)
	w := writer(t, fd)
	w.Write(Stdout, 1, numbered(1))
	r := reader(t, fd, Options{Follow: true})
	require.Equal(t, numbered(1), next(t, r).Content)
	total := uint64(len(numbered(1)))
	for n := uint64(2); n <= 1000; n++ {
		w.Write(Stdout, n, numbered(n))
		total += uint64(len(numbered(n)))
	}
	w.Close()
	gaps, position := 0, uint64(len(numbered(1)))
	for e := next(t, r); e.Source != 0; e = next(t, r) {
		require.Equal(t, position, e.Position, "nothing is missing without a word")
		if e.Source == Gap {
			gaps++
			assert.Contains(t, string(e.Content), "rotated away")
		} else {
			require.Equal(t, numbered(e.Program), e.Content)
		}
		position += e.covers()
	}
	assert.Equal(t, 1, gaps)
	assert.Equal(t, total, position)
}

func TestSlowFollowerOfAFlood(t *testing.T) {
	_, fd := place(t)
	w := writer(t, fd)
	done := follow(t, reader(t, fd, Options{Follow: true}))
	total := uint64(0)
	for n := uint64(1); n <= 20000; n++ {
		w.Write(Stdout, n, numbered(n))
		total += uint64(len(numbered(n)))
	}
	w.Close()
	position, last := uint64(0), uint64(0)
	for _, e := range wait(t, done) {
		require.Equal(t, position, e.Position)
		position += e.covers()
		if e.Source != Gap {
			require.Equal(t, numbered(e.Program), e.Content)
			require.Greater(t, e.Program, last)
			last = e.Program
		}
	}
	assert.Equal(t, total, position)
	assert.Equal(t, uint64(20000), last)
}

func TestLogRemovedUnderAFollower(t *testing.T) {
	path, fd := place(t)
	w := writer(t, fd)
	w.Write(Stdout, 1, numbered(1))
	r := reader(t, fd, Options{Follow: true})
	require.Equal(t, uint64(1), next(t, r).Program)
	total := uint64(len(numbered(1)))
	for n := uint64(2); n <= 1000; n++ {
		w.Write(Stdout, n, numbered(n))
		total += uint64(len(numbered(n)))
	}
	w.Close()
	require.NoError(t, os.RemoveAll(filepath.Join(path, "log")))
	position := uint64(len(numbered(1)))
	var last Entry
	for e := next(t, r); e.Source != 0; e = next(t, r) {
		require.Equal(t, position, e.Position)
		position += e.covers()
		last = e
	}
	assert.Equal(t, total, position, "what went with the log is counted")
	assert.Equal(t, Gap, last.Source)
	assert.Contains(t, string(last.Content), "removed")
}

func TestFollowerOfAKilledWriter(t *testing.T) {
	path, fd := place(t)
	cmd := startFlood(t, path)
	r := reader(t, fd, Options{Follow: true, Lines: -1})
	require.Equal(t, Stdout, next(t, r).Source)
	rest := follow(t, r)
	require.NoError(t, cmd.Process.Kill())
	for _, e := range wait(t, rest) {
		if e.Source != Gap {
			require.True(t, bytes.Equal(numbered(e.Program), e.Content))
		}
	}
}
