package logs

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// helperEnv makes the test binary a helper process: it says what it is to do.
const helperEnv = "MSB_LOGS_TEST_HELPER"

func TestMain(m *testing.M) {
	var err error
	switch os.Getenv(helperEnv) {
	case "":
		os.Exit(m.Run())
	case "flood":
		err = flood(os.Args[1])
	case "full":
		err = fillDisk(os.Args[1])
	}
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func helper(t *testing.T, do, dir string, attr *syscall.SysProcAttr) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], dir)
	cmd.Env = append(os.Environ(), helperEnv+"="+do)
	cmd.SysProcAttr = attr
	return cmd
}

// limit bounds each wait for something that takes milliseconds.
const limit = 20 * time.Second

// place is a directory for logs.
func place(t *testing.T) (path string, fd int) {
	t.Helper()
	path = t.TempDir()
	return path, openPath(t, path)
}

func openPath(t *testing.T, path string) int {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func writer(t *testing.T, fd int) *Writer {
	t.Helper()
	w, err := Create(fd, "log", "box", MinFileBytes)
	require.NoError(t, err)
	t.Cleanup(w.Close)
	return w
}

func reader(t *testing.T, fd int, o Options) *Reader {
	t.Helper()
	r, err := Open(fd, "log", o)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	return r
}

// next returns a copy of the next entry; at the end its source is 0.
func next(t *testing.T, r *Reader) Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	e, err := r.Next(ctx)
	if err == io.EOF {
		return Entry{}
	}
	require.NoError(t, err)
	e.Content = bytes.Clone(e.Content)
	return e
}

// read returns all entries.
func read(t *testing.T, fd int, o Options) []Entry {
	t.Helper()
	r := reader(t, fd, o)
	var all []Entry
	for e := next(t, r); e.Source != 0; e = next(t, r) {
		all = append(all, e)
	}
	return all
}

// text joins what was said; a gap is "<bytes>".
func text(entries []Entry) string {
	var b bytes.Buffer
	for _, e := range entries {
		if e.Source == Gap {
			fmt.Fprintf(&b, "<%d>", e.Missed)
		} else {
			b.Write(e.Content)
		}
	}
	return b.String()
}

// follow collects entries until the log's end.
func follow(t *testing.T, r *Reader) <-chan []Entry {
	done := make(chan []Entry, 1)
	go func() {
		var all []Entry
		for e, err := range r.All(context.Background()) {
			if err != nil {
				t.Error(err)
				break
			}
			e.Content = bytes.Clone(e.Content)
			all = append(all, e)
		}
		done <- all
	}()
	return done
}

func wait(t *testing.T, done <-chan []Entry) []Entry {
	t.Helper()
	select {
	case all := <-done:
		return all
	case <-time.After(limit):
		t.Fatal("the follower did not come to the end")
		return nil
	}
}

// numbered is content that tells its number, of a length that follows from it.
func numbered(n uint64) []byte {
	line := fmt.Appendf(nil, "%d:", n)
	for i := range n * 7919 % 3000 {
		line = append(line, byte(i*31+n))
	}
	return append(line, '\n')
}

// flood writes numbered entries until it is killed, after those that are there.
func flood(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	w, err := Create(fd, "log", "box", 1<<20)
	if err != nil {
		return err
	}
	first := uint64(1)
	r, err := Open(fd, "log", Options{})
	if err != nil {
		return err
	}
	for e, err := range r.All(context.Background()) {
		if err != nil {
			return err
		}
		if e.Source != Gap {
			first = e.Program + 1
		}
	}
	fmt.Println("writing")
	for n := first; ; n++ {
		w.Write(Stdout, n, numbered(n))
	}
}

// startFlood returns once the writer writes.
func startFlood(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := helper(t, "flood", path, nil)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "writing\n", line)
	return cmd
}
