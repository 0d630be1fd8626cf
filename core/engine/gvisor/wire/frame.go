package wire

import "encoding/binary"

// Frame is one message between supervisor and sentry about programs.
type Frame struct {
	Kind    uint32
	PID     int32
	A, B, C uint64
	Flags   uint64
}

// FrameSize is the length of every frame, in bytes.
const FrameSize = 40

// Kinds of frames.
const (
	Hello       uint32 = iota + 1 // A: number of the command, here and below
	Kill                          // PID: end the program and all that it started
	Forget                        // PID: its program has ended
	RenewLimits                   // the next program gets limits of its own
	Done                          // A: the command; B: 0, or 1 when it could not be carried out
	Ended                         // PID: program; A, B: cpu time of all and its own, in ns; C: peak in bytes; Flags
	Refused                       // for the first time a process was one too many
	Watch                         // tell when code of the guest runs next; refused while it does
	Stirred                       // it does
)

// Flags of Ended.
const (
	FlagRefused     = 1 << iota // one of its processes was one too many
	FlagOverlayFull             // no room for changes was left when it ended
	FlagFilesFull               // one of its processes had as many open files as it may when it ended
)

// Encode returns the frame as it is sent.
func (f Frame) Encode() (buf [FrameSize]byte) {
	binary.LittleEndian.PutUint32(buf[0:], f.Kind)
	binary.LittleEndian.PutUint32(buf[4:], uint32(f.PID))
	binary.LittleEndian.PutUint64(buf[8:], f.A)
	binary.LittleEndian.PutUint64(buf[16:], f.B)
	binary.LittleEndian.PutUint64(buf[24:], f.C)
	binary.LittleEndian.PutUint64(buf[32:], f.Flags)
	return buf
}

// Decode is the inverse of Encode.
func Decode(buf [FrameSize]byte) Frame {
	return Frame{
		Kind: binary.LittleEndian.Uint32(buf[0:]),
		PID:  int32(binary.LittleEndian.Uint32(buf[4:])),
		A:    binary.LittleEndian.Uint64(buf[8:]),
		B:    binary.LittleEndian.Uint64(buf[16:]),
		C:    binary.LittleEndian.Uint64(buf[24:]),

		Flags: binary.LittleEndian.Uint64(buf[32:]),
	}
}
