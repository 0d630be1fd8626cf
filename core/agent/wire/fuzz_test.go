package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func seedMessages() map[Kind][]byte {
	start := Start{
		Program: 1, UID: 2, GID: 3, Umask: Unchanged, Groups: []uint32{4, 5}, Rlimits: []Rlimit{{1, 2, 3}},
		Stdio: [3]uint8{0, 1, 1}, Terminal: &Size{24, 80}, Cwd: "/\xff", Argv: []string{"a", ""}, Env: []string{"b"},
	}
	config := Config{
		Root: Mount{Kind: MountDisk, Source: "root", Type: "erofs"}, Upper: Mount{Kind: MountTmpfs, SizeBytes: 5},
		Mounts: []Mount{{Kind: MountTmpfs, Flags: NoExec, Target: "/tmp"}}, Capabilities: 7, Cwd: "/work", ShmBytes: 9,
		Renewal: Renewal{1, "entropy", "name"},
	}
	hello, signal, resize := Hello{1, 1, 77}, Signal{1, 9, 0}, Resize{1, Size{2, 3}}
	exited, reply := Exited{Status: 9, Written: [2]uint64{1, 2}}, Reply{Errno: 2, Stage: 8, Text: "text", Body: []byte("body")}
	return map[Kind][]byte{
		KindHello: hello.Append(nil), KindConfigure: config.Append(nil), KindStart: start.Append(nil), KindSignal: signal.Append(nil),
		KindResize: resize.Append(nil), KindRenew: config.Renewal.Append(nil), KindExited: exited.Append(nil), KindReply: reply.Append(nil),
	}
}

// decode decodes a payload and encodes what it holds.
func decode(kind Kind, payload []byte) ([]byte, error) {
	switch kind {
	case KindHello:
		m, err := DecodeHello(payload)
		return m.Append(nil), err
	case KindConfigure:
		m, err := DecodeConfig(payload)
		if err != nil {
			return nil, err
		}
		return m.Append(nil), nil
	case KindStart:
		m, err := DecodeStart(payload)
		if err != nil {
			return nil, err
		}
		return m.Append(nil), nil
	case KindSignal, KindSignalAll:
		m, err := DecodeSignal(payload)
		return m.Append(nil), err
	case KindResize:
		m, err := DecodeResize(payload)
		return m.Append(nil), err
	case KindRenew:
		m, err := DecodeRenewal(payload)
		return m.Append(nil), err
	case KindExited:
		m, err := DecodeExited(payload)
		return m.Append(nil), err
	case KindReply:
		m, err := DecodeReply(payload)
		return m.Append(nil), err
	}
	return payload, nil
}

// What is accepted is encoded to the same bytes again: there is one way to say a thing.
func FuzzMessages(f *testing.F) {
	for kind, payload := range seedMessages() {
		f.Add(uint8(kind), payload)
		f.Add(uint8(kind), payload[:len(payload)-1])
		f.Add(uint8(kind), append(payload, 0))
	}
	f.Add(uint8(KindStart), []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, kind uint8, payload []byte) {
		again, err := decode(Kind(kind), payload)
		if err == nil {
			require.Equal(t, payload, append([]byte{}, again...))
		}
		if welcome, err := DecodeWelcome(payload); err == nil {
			require.Equal(t, payload, welcome.Append(nil))
		}
		if usage, err := DecodeUsage(payload); err == nil {
			require.Equal(t, payload, usage.Append(nil))
		}
		if started, err := DecodeStarted(payload); err == nil {
			require.Equal(t, payload, started.Append(nil))
		}
	})
}

func TestMessagesSurvive(t *testing.T) {
	for kind, payload := range seedMessages() {
		again, err := decode(kind, payload)
		require.NoError(t, err, "kind %d", kind)
		require.Equal(t, payload, again)
		for n := range payload {
			if kind != KindReply { // the body has no length of its own
				_, err := decode(kind, payload[:n])
				require.Error(t, err, "kind %d, %d bytes", kind, n)
			}
		}
		_, err = decode(kind, append(payload, 0))
		require.Equal(t, kind != KindReply, err != nil)
	}
}

// Headers are checked for each side.
func FuzzHeader(f *testing.F) {
	f.Add(AppendHeader(nil, Header{Length: 4, Kind: KindCredit, ID: 1}), true)
	f.Add(AppendHeader(nil, Header{Length: 1 << 20, Kind: KindStart, ID: 1}), false)
	f.Add(AppendHeader(nil, Header{Kind: KindLog}), true)
	f.Fuzz(func(t *testing.T, b []byte, fromGuest bool) {
		h, err := DecodeHeader(b, fromGuest)
		if err != nil {
			return
		}
		require.Equal(t, b[:HeaderSize], AppendHeader(nil, h))
		require.LessOrEqual(t, h.Length, uint32(MaxHostFrame))
		require.False(t, fromGuest && h.Length > MaxGuestFrame)
	})
}
