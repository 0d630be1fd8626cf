//go:build linux

package control

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func seeds(f *testing.F) {
	for _, text := range []string{
		"", "{}", `{"v":1,"t":"info","id":1}`, `{"v":1,"t":"reply","id":18446744073709551615,"e":{"code":-14,"errno":2}}`,
		`{"v":1,"t":"start","id":2,"b":{"p":1,"argv":["c2g="],"stdio":[0,1,2]}}`, `{"v":1e0,"t":null}`, `{"v":1,"t":"x","b":`,
		`{"v":1,"t":"signal","b":{"p":1,"signo":99999999999}}`, `{"v":1,"t":"stop","b":{"grace_ns":-1}}`, "\xff\xfe", `[[[[[[`,
	} {
		f.Add([]byte(text))
	}
}

// What Decode accepts is of our version, has a type, and decodes again from its
// own encoding; bodies may be anything and never panic.
func FuzzDecode(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			require.Nil(t, m)
			return
		}
		require.Equal(t, Protocol, m.Version)
		require.NotEmpty(t, m.Type)
		for _, body := range []any{
			new(StartRequest), new(SignalRequest), new(StopRequest), new(DrainRequest),
			new(InfoReply), new(ExitedEvent), new(EndedEvent), new(Config),
		} {
			_ = m.Into(body)
		}
		again, err := Decode(mustJSON(t, m))
		require.NoError(t, err)
		require.Equal(t, m.Type, again.Type)
		require.Equal(t, m.ID, again.ID)
	})
}

// Frames through a real socket, with up to nine descriptors of which the first
// is a sealed memfd of the same bytes: nothing is kept, nothing panics.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("i{}"), uint8(0), []byte(nil))
	f.Add([]byte(`i{"v":1,"t":"info","id":1}`), uint8(3), []byte(nil))
	f.Add(binary.LittleEndian.AppendUint64([]byte("m"), 23), uint8(1), []byte(`{"v":1,"t":"ready"}    `))
	f.Add(binary.LittleEndian.AppendUint64([]byte("m"), 1<<63), uint8(1), []byte("{}"))
	f.Add([]byte("m"), uint8(9), []byte("x"))
	f.Fuzz(func(t *testing.T, frame []byte, count uint8, content []byte) {
		if len(frame) == 0 || len(frame) > 2*MaxFrame || len(content) > MaxMessage+1 {
			return
		}
		conn, fd := rawPair(t)
		var fds []int
		if n := int(count % 10); n > 0 {
			memfd, err := SealedMemfd("fuzz", content)
			require.NoError(t, err)
			defer unix.Close(memfd)
			fds = append(make([]int, 0, n), memfd)
			for len(fds) < n {
				fds = append(fds, memfd)
			}
		}
		var oob []byte
		if len(fds) > 0 {
			oob = unix.UnixRights(fds...)
		}
		before := openFDs(t)
		require.NoError(t, unix.Sendmsg(fd, frame, oob, nil, 0))
		m, got, err := conn.Recv()
		if err == nil {
			require.Equal(t, Protocol, m.Version)
			require.LessOrEqual(t, len(got), MaxFDs)
		} else {
			require.Empty(t, got)
		}
		CloseAll(got)
		require.Equal(t, before, openFDs(t))
	})
}
