package logs

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestBytesComeBack(t *testing.T) {
	_, fd := place(t)
	w := writer(t, fd)
	content := make([]byte, 3*MaxContent+5)
	rand.New(rand.NewSource(1)).Read(content)
	before := time.Now()
	w.Write(Stdout, 7, content)
	w.Write(Stderr, 8, []byte{0, 255, '\n', 0})
	w.Printf("two\nlines of %d", 1)
	w.Write(Stdout, 9, nil)
	w.Close()
	w.Write(Stdout, 9, []byte("too late"))
	all := read(t, fd, Options{})
	require.Equal(t, 6, len(all))
	position := uint64(0)
	got := []byte{}
	for i, e := range all {
		require.Equal(t, position, e.Position, i)
		position += uint64(len(e.Content))
		require.False(t, e.Time.Before(before) || e.Time.After(time.Now()), "%v", e.Time)
		if e.Source == Stdout {
			require.Equal(t, uint64(7), e.Program)
			got = append(got, e.Content...)
		}
	}
	require.True(t, bytes.Equal(content, got))
	assert.Equal(t, []byte{0, 255, '\n', 0}, all[4].Content)
	assert.Equal(t, Stderr, all[4].Source)
	assert.Equal(t, "two lines of 1\n", string(all[5].Content))
	assert.Equal(t, Supervisor, all[5].Source)
}

func TestNoWriter(t *testing.T) {
	_, fd := place(t)
	var w *Writer
	w.Write(Stdout, 1, []byte("dropped"))
	w.Printf("dropped")
	w.Close()
	_, err := Open(fd, "log", Options{})
	assert.ErrorIs(t, err, &fault.Error{Code: fault.NotFound})
}

func TestRotation(t *testing.T) {
	path, fd := place(t)
	w := writer(t, fd)
	written := []byte{}
	for n := uint64(1); n < 1000; n++ {
		w.Write(Stdout, n, numbered(n))
		written = append(written, numbered(n)...)
		if n%20 == 0 {
			sizes := fileSizes(t, path)
			require.LessOrEqual(t, len(sizes), Rotated+1)
			for _, size := range sizes {
				require.LessOrEqual(t, size, int64(MinFileBytes))
			}
		}
	}
	require.Len(t, fileSizes(t, path), Rotated+1)
	all := read(t, fd, Options{})
	require.Equal(t, Gap, all[0].Source, "what was rotated away is told first")
	kept := text(all[1:])
	assert.Greater(t, len(kept), Rotated*MinFileBytes*8/10, "the bound is used")
	assert.Equal(t, uint64(len(written)-len(kept)), all[0].Missed)
	assert.True(t, bytes.HasSuffix(written, []byte(kept)))
	for _, e := range all[1:] {
		require.Equal(t, numbered(e.Program), e.Content)
	}
}

func fileSizes(t *testing.T, path string) []int64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(path, "log/log.*"))
	require.NoError(t, err)
	var sizes []int64
	for _, f := range files {
		st, err := os.Stat(f)
		require.NoError(t, err)
		sizes = append(sizes, st.Size())
	}
	return sizes
}

func TestRunsShareTheBound(t *testing.T) {
	path, fd := place(t)
	want := ""
	for run := range 20 {
		w := writer(t, fd)
		w.Printf("run %d", run)
		want += fmt.Sprintf("run %d\n", run)
		w.Close()
	}
	assert.Equal(t, want, text(read(t, fd, Options{})), "short runs rotate nothing away")
	assert.Len(t, fileSizes(t, path), 1)
	assert.Equal(t, "box", Name(fd, "log"))
	require.NoError(t, Remove(fd, "log"))
	require.NoError(t, Remove(fd, "log"), "none is no error")
	assert.NoDirExists(t, filepath.Join(path, "log"))
}

func TestOneWriter(t *testing.T) {
	_, fd := place(t)
	w := writer(t, fd)
	second := make(chan error, 1)
	go func() {
		w, err := Create(fd, "log", "box", MinFileBytes)
		w.Close()
		second <- err
	}()
	select {
	case err := <-second:
		t.Fatal("a second writer:", err)
	case <-time.After(20 * time.Millisecond):
	}
	w.Close()
	assert.NoError(t, <-second, "once the first has ended")
}

func TestLastLines(t *testing.T) {
	entry := func(s Source, text string) Entry { return Entry{Source: s, Content: []byte(text)} }
	short := []Entry{entry(Stdout, "a\nb\nc"), entry(Stderr, "x\n"), entry(Stdout, "d\ne\n"), entry(Stdout, "fg\n")}
	open := append(short[:len(short):len(short)], entry(Stdout, "half"), entry(Stdout, " line"))
	for _, c := range []struct {
		entries []Entry
		o       Options
		want    string
	}{
		{short, Options{Lines: 1}, "fg\n"},
		{short, Options{Lines: 2}, "e\nfg\n"},
		{short, Options{Lines: 3}, "d\ne\nfg\n"},
		{short, Options{Lines: 4}, "cx\nd\ne\nfg\n"},
		{short, Options{Lines: 6}, "a\nb\ncx\nd\ne\nfg\n"},
		{short, Options{Lines: 1 << 62}, "a\nb\ncx\nd\ne\nfg\n"},
		{short, Options{Lines: -1}, ""},
		{short, Options{Lines: 1, Sources: []Source{Stderr}}, "x\n"},
		{short, Options{Lines: 4, Sources: []Source{Stdout}}, "b\ncd\ne\nfg\n"},
		{open, Options{Lines: 1}, "half line"},
		{open, Options{Lines: 3}, "e\nfg\nhalf line"},
	} {
		_, fd := place(t)
		w := writer(t, fd)
		for _, e := range c.entries {
			w.Write(e.Source, 1, e.Content)
		}
		assert.Equal(t, c.want, text(read(t, fd, c.o)), "%d entries, %+v", len(c.entries), c.o)
	}
}

func TestLastLinesOfManyFiles(t *testing.T) {
	_, fd := place(t)
	w := writer(t, fd)
	for n := range 3000 {
		w.Write(Stdout, 1, fmt.Appendf(nil, "%07d%s\n", n, bytes.Repeat([]byte{'.'}, 60)))
	}
	all := text(read(t, fd, Options{}))
	lines := bytes.SplitAfter([]byte(all[bytes.IndexByte([]byte(all), '>')+1:]), []byte{'\n'})
	lines = lines[:len(lines)-1] // behind the last newline
	for _, n := range []int{1, 10, 500, 1000, 2000, len(lines) - 1, len(lines)} {
		want := string(bytes.Join(lines[len(lines)-n:], nil))
		require.Equal(t, want, text(read(t, fd, Options{Lines: int64(n)})), "last %d of %d", n, len(lines))
	}
}

func TestSinceAndProgram(t *testing.T) {
	_, fd := place(t)
	w := writer(t, fd)
	w.Write(Stdout, 1, []byte("one\n"))
	w.Write(Stdout, 2, []byte("two\n"))
	between := time.Now()
	w.Write(Stdout, 1, []byte("three\n"))
	w.Printf("four")
	assert.Equal(t, "three\nfour\n", text(read(t, fd, Options{Since: between})))
	assert.Equal(t, "three\n", text(read(t, fd, Options{Since: between, Program: 1})))
	assert.Equal(t, "one\nthree\n", text(read(t, fd, Options{Program: 1})))
	assert.Equal(t, "four\n", text(read(t, fd, Options{Since: between, Lines: 1})))
	assert.Equal(t, "one\ntwo\nthree\nfour\n", text(read(t, fd, Options{Since: between.Add(-time.Hour), Lines: 9})))
	assert.Empty(t, read(t, fd, Options{Since: time.Now().Add(time.Hour)}))
}

func TestManyWritersInOneProcess(t *testing.T) {
	_, fd := place(t)
	w, err := Create(fd, "log", "box", 16<<20)
	require.NoError(t, err)
	done := follow(t, reader(t, fd, Options{Follow: true}))
	var group sync.WaitGroup
	for program := uint64(1); program <= 8; program++ {
		group.Go(func() {
			for i := range 500 {
				w.Write(Stdout, program, fmt.Appendf(nil, "%d.%d\n", program, i))
			}
		})
	}
	group.Wait()
	w.Close()
	all := wait(t, done)
	require.Len(t, all, 8*500)
	last := map[uint64]int{}
	for _, e := range all {
		require.Equal(t, fmt.Sprintf("%d.%d\n", e.Program, last[e.Program]), string(e.Content))
		last[e.Program]++
	}
}

func TestCancel(t *testing.T) {
	_, fd := place(t)
	writer(t, fd)
	r := reader(t, fd, Options{Follow: true})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := r.Next(ctx)
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		assert.ErrorIs(t, err, context.Canceled)
	case <-time.After(limit):
		t.Fatal("not canceled")
	}
}
