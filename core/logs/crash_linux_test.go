package logs

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/tests/subprocess"
)

func TestKilledInTheMiddleOfAWrite(t *testing.T) {
	path, fd := place(t)
	random := rand.New(rand.NewSource(2))
	last := uint64(0)
	for range 15 {
		cmd := startFlood(t, path)
		time.Sleep(time.Duration(random.Intn(20000)) * time.Microsecond) // anywhere
		require.NoError(t, cmd.Process.Kill())
		cmd.Wait()
		position, before := uint64(0), uint64(0)
		for _, e := range read(t, fd, Options{}) {
			require.Equal(t, position, e.Position)
			position += e.covers()
			if e.Source == Gap {
				continue
			}
			require.Equal(t, numbered(e.Program), e.Content)
			require.True(t, before == 0 || e.Program == before+1, "%d after %d", e.Program, before)
			before = e.Program
		}
		require.Greater(t, before, last, "each run added something")
		last = before
	}
}

// A torn end, at each of its lengths, is no entry, and the next writer goes on.
func TestTornEnd(t *testing.T) {
	path, fd := place(t)
	w := writer(t, fd)
	w.Printf("whole")
	file := filepath.Join(path, "log", fileName(1))
	keep, err := os.Stat(file)
	require.NoError(t, err)
	w.Write(Stdout, 1, []byte("torn\n"))
	w.Close()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	for size := int(keep.Size()); size < len(data); size++ {
		require.NoError(t, os.WriteFile(file, data[:size], 0o600))
		require.Equal(t, "whole\n", text(read(t, fd, Options{})), "%d bytes", size)
		w := writer(t, fd)
		w.Printf("next")
		w.Close()
		require.Equal(t, "whole\nnext\n", text(read(t, fd, Options{})), "%d bytes", size)
	}
	require.NoError(t, os.WriteFile(file, data, 0o600))
	require.Equal(t, "whole\ntorn\n", text(read(t, fd, Options{})), "all of it is there")
	for range 2000 {
		spoilt := append([]byte(nil), data...)
		at := int(keep.Size()) + rand.Intn(len(data)-int(keep.Size()))
		spoilt[at] ^= byte(1 + rand.Intn(255))
		require.NoError(t, os.WriteFile(file, spoilt, 0o600))
		require.Equal(t, "whole\n", text(read(t, fd, Options{})), "byte %d", at)
	}
	require.NoError(t, os.WriteFile(file, append(data[:keep.Size()], make([]byte, 4096)...), 0o600))
	require.Equal(t, "whole\n", text(read(t, fd, Options{})), "zeros after a power cut")
}

// Half a frame that is followed by another file is skipped.
func TestTornEndOfAnEarlierFile(t *testing.T) {
	path, fd := place(t)
	w := writer(t, fd)
	w.Printf("whole")
	w.mu.Lock()
	frame := Entry{Source: Stdout, Program: 1, Time: time.Now(), Position: w.position, Content: []byte("torn")}.AppendFrame(nil)
	_, err := w.file.WriteAt(frame[:len(frame)-1], w.size)
	require.NoError(t, err)
	w.position += 4
	require.NoError(t, w.rotate())
	w.mu.Unlock()
	w.Printf("next")
	assert.Equal(t, "whole\n<4>next\n", text(read(t, fd, Options{})))
	assert.Len(t, fileSizes(t, path), 2)
}

func TestFileWithoutHeader(t *testing.T) {
	path, fd := place(t)
	w := writer(t, fd)
	w.Printf("whole")
	w.Close()
	second := filepath.Join(path, "log", fileName(2))
	require.NoError(t, os.WriteFile(second, []byte("MSBLO"), 0o600))
	assert.Equal(t, "whole\n", text(read(t, fd, Options{})))
	w = writer(t, fd)
	w.Printf("next")
	w.Close()
	assert.Equal(t, "whole\nnext\n", text(read(t, fd, Options{})))
	require.NoError(t, os.WriteFile(second, []byte("MSBLOG9\n\x02\x00\x00\x00\x00\x00\x00\x00"), 0o600))
	_, err := Create(fd, "log", "box", MinFileBytes)
	assert.ErrorContains(t, err, "another version")
}

// fillDisk, in a mount namespace of its own, writes a log in a file system that
// gets full and has room again.
func fillDisk(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, "mode=700,size=128k"); err != nil {
		return err
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	w, err := Create(fd, "log", "box", MinFileBytes)
	if err != nil {
		return err
	}
	w.Printf("room")
	ballast := filepath.Join(dir, "ballast")
	file, err := os.Create(ballast)
	if err != nil {
		return err
	}
	for err == nil {
		_, err = file.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("fill: %w", err)
	}
	said := uint64(len("room\nroom again\n"))
	for n := uint64(1); n < 100; n++ {
		w.Write(Stdout, n, numbered(n))
		said += uint64(len(numbered(n)))
	}
	if w.lost == 0 {
		return errors.New("nothing was lost")
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	file.Close()
	w.Printf("room again")
	w.Close()
	return checkFull(fd, said)
}

func checkFull(fd int, said uint64) error {
	r, err := Open(fd, "log", Options{})
	if err != nil {
		return err
	}
	var first, last, why string
	missed, position := uint64(0), uint64(0)
	for e, err := range r.All(context.Background()) {
		if err != nil {
			return err
		}
		if e.Position != position {
			return fmt.Errorf("entry at %d, want %d", e.Position, position)
		}
		position += e.covers()
		if e.Source == Gap {
			missed, why = missed+e.Missed, string(e.Content)
		} else if last = string(e.Content); first == "" {
			first = last
		}
	}
	if first != "room\n" || last != "room again\n" || position != said || missed == 0 || !strings.Contains(why, "no space left") {
		return fmt.Errorf("first %q, last %q, missed %d, end at %d of %d: %q", first, last, missed, position, said, why)
	}
	return nil
}

func TestFullDisk(t *testing.T) {
	attr := subprocess.MayMount(t)
	out, err := helper(t, "full", t.TempDir(), attr).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
