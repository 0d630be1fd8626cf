package wire

import "encoding/binary"

var le = binary.LittleEndian

// AppendHeader appends the header of a frame.
func AppendHeader(b []byte, h Header) []byte {
	b = le.AppendUint32(b, h.Length)
	b = append(b, byte(h.Kind), h.Stream, 0, 0)
	return le.AppendUint32(b, h.ID)
}

// DecodeHeader decodes HeaderSize bytes that came from the guest or from the host.
func DecodeHeader(b []byte, fromGuest bool) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, Error("short header")
	}
	h := Header{Length: le.Uint32(b), Kind: Kind(b[4]), Stream: b[5], ID: le.Uint32(b[8:])}
	switch {
	case le.Uint16(b[6:]) != 0:
		return h, Error("reserved bytes of a header are not zero")
	case h.Stream > 2, h.Stream != 0 && !h.Kind.ofStream():
		return h, Error("no such stream")
	case h.ID == 0 && h.Kind != KindLog:
		return h, Error("id 0")
	}
	return h, h.checkLength(fromGuest)
}

func (k Kind) ofStream() bool { return k >= KindData && k <= KindClose }

func (h Header) checkLength(fromGuest bool) error {
	most := uint32(0)
	switch h.Kind {
	case KindData:
		if h.Length == 0 {
			return Error("empty data")
		}
		most = MaxData
	case KindCredit:
		if h.Length != 4 {
			return Error("credit has 4 bytes")
		}
		most = 4
	case KindClose:
	case KindReply, KindExited, KindLog:
		if !fromGuest {
			return Error("unknown kind of frame")
		}
		most = MaxGuestFrame
	default:
		if fromGuest || h.Kind == 0 || h.Kind > KindRenew {
			return Error("unknown kind of frame")
		}
		most = MaxHostFrame
	}
	if h.Length > most {
		return Error("frame too long")
	}
	return nil
}

// Finish sets the length in the header of the frame that begins at b[start].
func Finish(b []byte, start int) []byte {
	le.PutUint32(b[start:], uint32(len(b)-start-HeaderSize))
	return b
}

// reader takes fields from a payload. After the first one that is missing or beyond
// its limit, all are zero and err is set.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(why string) {
	if r.err == nil {
		r.err = Error(why)
	}
	r.b = nil
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail("payload too short")
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return le.Uint16(v)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return le.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return le.Uint64(v)
	}
	return 0
}

// text takes a string of at most most bytes.
func (r *reader) text(most int) string {
	n := r.u32()
	if uint64(n) > uint64(most) {
		r.fail("string too long")
		return ""
	}
	return string(r.take(int(n)))
}

// count takes the number of elements of size bytes each, at least.
func (r *reader) count(most, size int) int {
	n := r.u32()
	if uint64(n) > uint64(most) || uint64(n)*uint64(size) > uint64(len(r.b)) {
		r.fail("too many elements")
		return 0
	}
	return int(n)
}

// path takes a string that a system call can take: without NUL.
func (r *reader) path(most int) string {
	s := r.text(most)
	for i := 0; i < len(s); i++ {
		if s[i] == 0 {
			r.fail("NUL in a string")
			return ""
		}
	}
	return s
}

// end is the error of the whole message: all of the payload must have been taken.
func (r *reader) end() error {
	if r.err == nil && len(r.b) > 0 {
		r.fail("payload too long")
	}
	return r.err
}

func appendText(b []byte, s string) []byte {
	b = le.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}
