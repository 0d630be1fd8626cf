package logs

import (
	"encoding/binary"
	"os"
)

// window is how much of a file is read at once.
const window = 4 * maxFrame

// scanner reads the frames of one file. It may grow meanwhile.
type scanner struct {
	file   *os.File
	number uint64
	offset int64 // of the next frame
	buf    []byte
	start  int64 // of buf in the file
}

// begin reports whether the file's header is there and right.
func (s *scanner) begin() bool {
	var header [fileHeaderSize]byte
	if _, err := s.file.ReadAt(header[:], 0); err != nil {
		return false
	}
	return string(header[:len(fileMagic)]) == fileMagic && binary.LittleEndian.Uint64(header[len(fileMagic):]) == s.number
}

// next returns the next whole frame's entry, which is valid until the next call.
// Half a frame, at the end, may be whole or gone the next time: what has been read
// of it is not kept.
func (s *scanner) next() (Entry, bool) {
	e, n := s.parse()
	if n == 0 {
		s.fill()
		e, n = s.parse()
	}
	s.offset += int64(n)
	return e, n > 0
}

func (s *scanner) parse() (Entry, int) {
	at := s.offset - s.start
	if at < 0 || at >= int64(len(s.buf)) {
		return Entry{}, 0
	}
	return parseFrame(s.buf[at:])
}

func (s *scanner) fill() {
	if cap(s.buf) == 0 {
		s.buf = make([]byte, window)
	}
	n, _ := s.file.ReadAt(s.buf[:cap(s.buf)], s.offset)
	s.buf, s.start = s.buf[:max(n, 0)], s.offset
}
