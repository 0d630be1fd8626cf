package logs

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// Source is who said it: MSB_LOG_* is 1 << Source.
type Source uint32

// The sources.
const (
	Stdout     Source = 1
	Stderr     Source = 2
	Supervisor Source = 3
	Gap        Source = 4 // content that is missing: see Entry.Missed
)

func (s Source) String() string {
	switch s {
	case Stdout:
		return "stdout"
	case Stderr:
		return "stderr"
	case Supervisor:
		return "supervisor"
	case Gap:
		return "gap"
	}
	return fmt.Sprintf("source %d", uint32(s))
}

// Entry is one piece of a log: as much of a stream as was there at once, so not
// always a line; of the supervisor one line.
type Entry struct {
	Source   Source
	Program  uint64 // number in the sandbox, from 1; 0 for the supervisor
	Time     time.Time
	Position uint64 // bytes of content in the log before it, since its beginning
	Missed   uint64 // of a gap: bytes of content that are missing here
	Content  []byte // of a gap: why, in UTF-8
}

// A frame, numbers little-endian: docs/logs.md.
const (
	HeaderSize   = 40
	MaxContent   = 32 << 10 // bytes of content in one entry
	maxFrame     = HeaderSize + MaxContent
	atLength     = 0  // u32, of the whole frame
	atChecksum   = 4  // u32, CRC-32 of all that follows
	atSource     = 8  // u32, then four zero bytes
	atProgram    = 16 // u64
	atTime       = 24 // i64, nanoseconds since 1970
	atPosition   = 32 // u64
	missedLength = 8  // u64 before the reason in a gap's content
)

// A log's files: "log.NUMBER", each with a header, and "state".
const (
	filePrefix     = "log."
	fileMagic      = "MSBLOG1\n"
	fileHeaderSize = 16 // magic, u64 number
	stateName      = "state"
)

func fileName(number uint64) string { return fmt.Sprintf("%s%010d", filePrefix, number) }

// fileNumber is the inverse of fileName; 0 for any other file.
func fileNumber(name string) uint64 {
	digits, ok := strings.CutPrefix(name, filePrefix)
	if !ok || len(digits) < 10 {
		return 0
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func fileHeader(number uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte(fileMagic), number)
}

// covers is how many bytes of the log's content the entry stands for.
func (e Entry) covers() uint64 {
	if e.Source == Gap {
		return e.Missed
	}
	return uint64(len(e.Content))
}

// AppendFrame appends the entry's frame to buf. Content is at most MaxContent.
func (e Entry) AppendFrame(buf []byte) []byte {
	start := len(buf)
	var header [HeaderSize]byte
	binary.LittleEndian.PutUint32(header[atSource:], uint32(e.Source))
	binary.LittleEndian.PutUint64(header[atProgram:], e.Program)
	binary.LittleEndian.PutUint64(header[atTime:], uint64(e.Time.UnixNano()))
	binary.LittleEndian.PutUint64(header[atPosition:], e.Position)
	buf = append(buf, header[:]...)
	if e.Source == Gap {
		buf = binary.LittleEndian.AppendUint64(buf, e.Missed)
	}
	buf = append(buf, e.Content...)
	frame := buf[start:]
	binary.LittleEndian.PutUint32(frame[atLength:], uint32(len(frame)))
	binary.LittleEndian.PutUint32(frame[atChecksum:], crc32.ChecksumIEEE(frame[atSource:]))
	return buf
}

// frameLength is the length that a frame's first four bytes tell; 0 when there is
// no such frame.
func frameLength(data []byte) int {
	n := binary.LittleEndian.Uint32(data)
	if n < HeaderSize || n > maxFrame {
		return 0
	}
	return int(n)
}

// parseFrame decodes the frame at the beginning of data: its entry, which shares
// data's memory, and its length; 0 when it is not whole.
func parseFrame(data []byte) (Entry, int) {
	if len(data) < HeaderSize {
		return Entry{}, 0
	}
	n := frameLength(data)
	if n == 0 || n > len(data) || crc32.ChecksumIEEE(data[atSource:n]) != binary.LittleEndian.Uint32(data[atChecksum:]) {
		return Entry{}, 0
	}
	e := Entry{
		Source:   Source(binary.LittleEndian.Uint32(data[atSource:])),
		Program:  binary.LittleEndian.Uint64(data[atProgram:]),
		Time:     time.Unix(0, int64(binary.LittleEndian.Uint64(data[atTime:]))),
		Position: binary.LittleEndian.Uint64(data[atPosition:]),
		Content:  data[HeaderSize:n:n],
	}
	if e.Source < Stdout || e.Source > Gap {
		return Entry{}, 0
	}
	if e.Source == Gap {
		if len(e.Content) < missedLength {
			return Entry{}, 0
		}
		e.Missed = binary.LittleEndian.Uint64(e.Content)
		e.Content = e.Content[missedLength:]
	}
	return e, n
}
