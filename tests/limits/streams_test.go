package limits_test

import (
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// streamBytes go each way in one test of streams; `make bench` sends a gibibyte each way.
func streamBytes() int64 { return int64(harness.Repeat(16, 256)) << 20 }

// noise is a stream of so many bytes whose blocks are all different, with its sum.
type noise struct {
	left  int64
	block [256 << 10]byte
	count uint64
	sum   hash.Hash32
}

func newSum() hash.Hash32 { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }

func newNoise(n int64) *noise {
	s := &noise{left: n, sum: newSum()}
	rand.NewChaCha8([32]byte{}).Read(s.block[:])
	return s
}

func (s *noise) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	s.count++
	binary.LittleEndian.PutUint64(s.block[:], s.count)
	n := copy(p[:min(int64(len(p)), s.left)], s.block[:])
	s.sum.Write(p[:n])
	s.left -= int64(n)
	return n, nil
}

// ends are the two ends of what is given for a stream.
func ends(t *testing.T, kind string, in bool) (ours, theirs *os.File) {
	t.Helper()
	var err error
	switch kind {
	case "socket":
		fds, serr := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		require.NoError(t, serr)
		ours, theirs = os.NewFile(uintptr(fds[0]), kind), os.NewFile(uintptr(fds[1]), kind)
	default:
		if in {
			theirs, ours, err = os.Pipe()
		} else {
			ours, theirs, err = os.Pipe()
		}
	}
	require.NoError(t, err)
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	return ours, theirs
}

// What goes in comes out again through every kind of stream, each byte of it.
func TestStreams(t *testing.T) {
	sb := harness.New(t)
	for _, kind := range []string{"pipe", "given pipe", "socket"} {
		t.Run(kind, func(t *testing.T) {
			o := core.ProcessOptions{Argv: []string{"cat"}, Stdio: [3]core.Stdio{harness.Pipe, harness.Pipe, harness.Null}}
			var in, out, theirIn, theirOut *os.File
			if kind != "pipe" {
				in, theirIn = ends(t, kind, true)
				out, theirOut = ends(t, kind, false)
				o.Stdio[0], o.Stdio[1] = harness.FD(theirIn), harness.FD(theirOut)
			}
			p := harness.Start(t, sb, o)
			p.Running()
			if kind == "pipe" {
				in, out = p.Stdin, p.Out
			} else {
				theirIn.Close()
				theirOut.Close()
			}
			begin := time.Now()
			sent := newNoise(streamBytes())
			go func() {
				io.CopyBuffer(struct{ io.Writer }{in}, sent, make([]byte, 256<<10))
				in.Close()
			}()
			got := newSum()
			n, err := io.CopyBuffer(got, struct{ io.Reader }{out}, make([]byte, 256<<10))
			require.NoError(t, err)
			assert.Equal(t, streamBytes(), n)
			assert.Equal(t, int32(0), p.End().ExitCode)
			assert.Equal(t, sent.sum.Sum32(), got.Sum32())
			t.Logf("%d MiB each way: %.0f MB/s", n>>20, float64(n)/1e6/time.Since(begin).Seconds())
		})
	}
}

// A file is read from its beginning and written to its end.
func TestStreamsOfFiles(t *testing.T) {
	sb := harness.New(t)
	dir := t.TempDir()
	from, err := os.Create(filepath.Join(dir, "from"))
	require.NoError(t, err)
	defer from.Close()
	sent := newNoise(streamBytes())
	_, err = io.CopyBuffer(struct{ io.Writer }{from}, sent, make([]byte, 256<<10))
	require.NoError(t, err)
	_, err = from.Seek(0, io.SeekStart)
	require.NoError(t, err)
	to, err := os.OpenFile(filepath.Join(dir, "to"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	require.NoError(t, err)
	defer to.Close()
	p := harness.Start(t, sb, core.ProcessOptions{Argv: []string{"cat"}, Stdio: [3]core.Stdio{harness.FD(from), harness.FD(to), harness.Null}})
	assert.Equal(t, int32(0), p.Running().End().ExitCode)
	got := newSum()
	n, err := io.Copy(got, to)
	require.NoError(t, err)
	assert.Equal(t, streamBytes(), n)
	assert.Equal(t, sent.sum.Sum32(), got.Sum32())
}
