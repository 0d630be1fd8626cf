// Package wire is what the host and the guest agent say to each other over one
// byte stream: frames, messages, limits. docs/agent.md describes it. Both sides
// use this package, so it needs little: no fmt, no reflection, no allocation that
// the bytes of a peer could inflate.
//
// Everything that Decode functions accept is within the limits of this package;
// what is not is an error, after which the stream cannot be trusted any more.
package wire

// Version is the protocol that this package speaks. Hello agrees on it.
const Version = 1

// Magic begins a Hello in both directions: "msbagent", little-endian.
const Magic = uint64(0x746e65676162736d)

// Kind is what a frame carries. The direction of each is fixed.
type Kind uint8

// Requests of the host. Each gets one Reply with its id.
const (
	KindHello     Kind = 1  // Hello; answered by a Reply with Welcome
	KindConfigure Kind = 2  // Config; once, before programs
	KindStart     Kind = 3  // Start; answered by Started
	KindSignal    Kind = 4  // Signal
	KindSignalAll Kind = 5  // Signal with program 0
	KindResize    Kind = 6  // Resize
	KindUsage     Kind = 7  // empty; answered by Usage
	KindSync      Kind = 8  // empty: file systems are flushed when the reply comes
	KindPowerOff  Kind = 9  // empty: kill, flush, end; the stream ends instead of a reply
	KindRenew     Kind = 10 // Renewal: clock, entropy, host name
)

// Messages of either side about a stream: the frame's id is the program, and its
// stream is 0, 1 or 2.
const (
	KindData   Kind = 16 // bytes; each costs one of the credit that the receiver gave
	KindCredit Kind = 17 // uint32: that many bytes more may be sent to me
	KindClose  Kind = 18 // empty: no more data (from a sender), or no more wanted (from a receiver)
)

// Messages of the guest.
const (
	KindReply  Kind = 32 // Reply; the id is the request's
	KindExited Kind = 33 // Exited; the id is the program
	KindLog    Kind = 34 // text for the supervisor's log; id 0
)

// Limits. Frames of the guest are no longer than MaxGuestFrame; frames of the host
// than MaxHostFrame, of which only Start and Configure come near.
const (
	HeaderSize    = 12
	MaxData       = 32<<10 - HeaderSize // payload of Data: a whole frame is one buffer of virtio-serial
	MaxGuestFrame = MaxData
	MaxHostFrame  = 2 << 20
	Window        = 1 << 20   // credit that the host's side of an output has at first, and at most
	InputWindow   = 256 << 10 // the same of a program's input
	MaxText       = 400       // bytes of a message for people
	MaxArgs       = 1 << 18   // entries of argv and environment together
	MaxGroups     = 1024
	MaxRlimits    = 16
	MaxMounts     = 128
	MaxPrograms   = 4096 // that have not ended, or have an open stream
	MaxEntropy    = 512
	MaxName       = 255  // host name, serial, type of file system
	MaxPath       = 4095 // as PATH_MAX without the NUL
)

// Header begins each frame, little-endian:
//
//	uint32 length   of the payload that follows
//	uint8  kind
//	uint8  stream   of Data, Credit and Close: 0, 1 or 2; else 0
//	uint16 zero
//	uint32 id       request or program, never 0 but for Log
type Header struct {
	Length uint32
	Kind   Kind
	Stream uint8
	ID     uint32
}

// Error is what is wrong with bytes of the peer.
type Error string

func (e Error) Error() string { return "agent protocol: " + string(e) }
