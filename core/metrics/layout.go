package metrics

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/process"
)

// Version is the layout's version. Any change of the layout makes a new one, and
// all others are refused.
const Version = 1

// The limits of a registry.
const (
	DefaultCapacity = 1024
	MaxCapacity     = 65536
	MaxName         = 128 // bytes
	MaxID           = 64  // bytes
)

// The layout: docs/metrics.md says the same in words. All numbers are
// little-endian, all 64-bit ones aligned.
const (
	magic      = "MSBMETR\x00"
	headerSize = 256
	slotSize   = 640

	offGeneration = 0x30 // in the header: the last one given out
	offUsed       = 0x40 // in the header: no slot from this number on was ever used
	headerEnd     = 0x28 // what the header's check covers

	offState    = 0x000 // in the slot
	offSlotGen  = 0x008
	offSequence = 0x010
	offIdentity = 0x020
	offID       = 0x080
	offName     = 0x0c0
	offSamples  = 0x140
	sampleSize  = 0x0a0
	sampleWords = sampleSize / 8
)

// Process is how a slot names its owner. A registry belongs to the processes of one
// PID namespace: those of another seem dead.
type Process = process.ID

// State is the state of a slot.
type State uint32

// The states.
const (
	Free     State = 0
	Reserved State = 1 // by a launcher, for a supervisor to come
	Active   State = 2 // its supervisor writes it
	Stale    State = 3 // the last words of a sandbox that ended
)

func (s State) String() string {
	switch s {
	case Free:
		return "free"
	case Reserved:
		return "reserved"
	case Active:
		return "active"
	case Stale:
		return "stale"
	}
	return "unknown"
}

var le = binary.LittleEndian

// checksum is FNV-1a over 64-bit words: it tells a copy of one record from a
// mixture of two, and both from garbage.
func checksum(b []byte) uint64 { return checksumOn(checksumBasis, b) }

const checksumBasis = 14695981039346656037

func checksumOn(h uint64, b []byte) uint64 {
	for ; len(b) >= 8; b = b[8:] {
		h = mix(h, le.Uint64(b))
	}
	return h
}

func mix(h, word uint64) uint64 { return (h ^ word) * 1099511628211 }

func registrySize(capacity uint32) int64 { return headerSize + int64(capacity)*slotSize }

func slotOffset(slot uint32) int64 { return headerSize + int64(slot)*slotSize }

// header is the part of the header that never changes.
type header struct {
	version, headerSize, slotSize, capacity uint32
	boot                                    uint64 // hash of the boot id
	instance                                uint64 // random: tells this file from one that took its place
}

func newHeader(capacity uint32) []byte {
	b := make([]byte, headerSize)
	copy(b, magic)
	le.PutUint32(b[0x08:], Version)
	le.PutUint32(b[0x0c:], headerSize)
	le.PutUint32(b[0x10:], slotSize)
	le.PutUint32(b[0x14:], capacity)
	le.PutUint64(b[0x18:], bootHash())
	le.PutUint64(b[0x20:], rand.Uint64())
	le.PutUint64(b[headerEnd:], checksum(b[:headerEnd]))
	le.PutUint64(b[offGeneration:], 0)
	le.PutUint64(b[0x38:], uint64(time.Now().UnixMilli()))
	return b
}

func decodeHeader(b []byte) (h header, checked bool) {
	h = header{
		version: le.Uint32(b[0x08:]), headerSize: le.Uint32(b[0x0c:]), slotSize: le.Uint32(b[0x10:]),
		capacity: le.Uint32(b[0x14:]), boot: le.Uint64(b[0x18:]), instance: le.Uint64(b[0x20:]),
	}
	return h, le.Uint64(b[headerEnd:]) == checksum(b[:headerEnd])
}

// identity is what Reserve and Activate say about a slot's sandbox.
type identity struct {
	launcher, supervisor Process
	startedMS            int64
	limits               Limits
	id, name             string
}

// encode writes the identity block of a slot, without its head and samples.
func (d identity) encode(slot []byte, generation uint64) {
	b := slot[offIdentity:offSamples]
	clear(b)
	le.PutUint64(b[0x08:], uint64(d.launcher.Pid))
	le.PutUint64(b[0x10:], d.launcher.Start)
	le.PutUint64(b[0x18:], uint64(d.supervisor.Pid))
	le.PutUint64(b[0x20:], d.supervisor.Start)
	le.PutUint64(b[0x28:], uint64(d.startedMS))
	le.PutUint64(b[0x30:], d.limits.MemoryBytes)
	le.PutUint64(b[0x38:], d.limits.OverlayBytes)
	le.PutUint32(b[0x40:], uint32(len(d.name)))
	le.PutUint32(b[0x44:], uint32(len(d.id)))
	copy(slot[offID:offName], d.id)
	copy(slot[offName:offSamples], d.name)
	le.PutUint64(b, identityCheck(slot, generation))
}

func identityCheck(slot []byte, generation uint64) uint64 {
	return checksumOn(mix(checksumBasis, generation), slot[offIdentity+8:offSamples])
}

func decodeIdentity(slot []byte, generation uint64) (d identity, ok bool) {
	b := slot[offIdentity:]
	nameLen, idLen := le.Uint32(b[0x40:]), le.Uint32(b[0x44:])
	if le.Uint64(b) != identityCheck(slot, generation) || nameLen > MaxName || idLen > MaxID {
		return d, false
	}
	return identity{
		launcher:   Process{Pid: int(le.Uint64(b[0x08:])), Start: le.Uint64(b[0x10:])},
		supervisor: Process{Pid: int(le.Uint64(b[0x18:])), Start: le.Uint64(b[0x20:])},
		startedMS:  int64(le.Uint64(b[0x28:])),
		limits:     Limits{MemoryBytes: le.Uint64(b[0x30:]), OverlayBytes: le.Uint64(b[0x38:])},
		id:         string(slot[offID : offID+idLen]),
		name:       string(slot[offName : offName+nameLen]),
	}, true
}
