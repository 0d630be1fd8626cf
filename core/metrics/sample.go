package metrics

import "time"

// Fields says which values of a Sample are known.
type Fields uint64

// The fields; the bits are those of the file.
const (
	HasCPUTime Fields = 1 << iota
	HasCPUPermille
	HasMemoryUsed
	HasMemoryPeak
	HasOverlayUsed
	HasDiskRead
	HasDiskWritten
	HasNetworkReceived
	HasNetworkSent
	HasPrograms
	HasUptime
)

// Sample is what a supervisor measured at one moment. A value whose bit is not in
// Present is unknown, and zero.
type Sample struct {
	Present              Fields
	CPUTime              time.Duration // used since the start, over all CPUs
	CPUPermille          uint64        // since the sample before; 1000 is one CPU
	MemoryUsedBytes      uint64
	MemoryPeakBytes      uint64
	OverlayUsedBytes     uint64 // written by the sandbox over its root
	DiskReadBytes        uint64
	DiskWrittenBytes     uint64
	NetworkReceivedBytes uint64
	NetworkSentBytes     uint64
	Programs             uint64 // running now
	Uptime               time.Duration

	// Set by Writer.Write.
	Number    uint64        // 1 for the first sample of a slot
	SampledAt time.Time     // wall clock, in ms
	Monotonic time.Duration // CLOCK_MONOTONIC, to compare with this boot's
}

// Has reports whether all of the fields are known.
func (s Sample) Has(f Fields) bool { return s.Present&f == f }

// encode makes a sample's words, those of unknown values zero.
func (s Sample) encode(generation uint64) (w [sampleWords]uint64) {
	w[1], w[2], w[3] = generation, s.Number, uint64(s.Present)
	w[4], w[5] = uint64(s.SampledAt.UnixMilli()), uint64(s.Monotonic)
	values := [...]struct {
		field Fields
		word  int
		value uint64
	}{
		{HasUptime, 6, uint64(s.Uptime)}, {HasCPUTime, 7, uint64(s.CPUTime)}, {HasCPUPermille, 8, s.CPUPermille},
		{HasMemoryUsed, 9, s.MemoryUsedBytes}, {HasMemoryPeak, 10, s.MemoryPeakBytes},
		{HasOverlayUsed, 11, s.OverlayUsedBytes}, {HasDiskRead, 12, s.DiskReadBytes}, {HasDiskWritten, 13, s.DiskWrittenBytes},
		{HasNetworkReceived, 14, s.NetworkReceivedBytes}, {HasNetworkSent, 15, s.NetworkSentBytes}, {HasPrograms, 16, s.Programs},
	}
	for _, v := range values {
		if s.Has(v.field) {
			w[v.word] = v.value
		}
	}
	w[0] = checksumBasis
	for _, v := range w[1:] {
		w[0] = mix(w[0], v)
	}
	return w
}

// decodeSample reads sample number n of a slot; false when these bytes are not
// that sample, whole.
func decodeSample(slot []byte, generation, n uint64) (Sample, bool) {
	at := offSamples + int(n&1)*sampleSize
	block := slot[at : at+sampleSize]
	var w [sampleWords]uint64
	for i := range w {
		w[i] = le.Uint64(block[8*i:])
	}
	if w[0] != checksum(block[8:]) || w[1] != generation || w[2] != n {
		return Sample{}, false
	}
	return Sample{
		Present: Fields(w[3]), Number: n, SampledAt: time.UnixMilli(int64(w[4])), Monotonic: time.Duration(w[5]),
		Uptime: time.Duration(w[6]), CPUTime: time.Duration(w[7]), CPUPermille: w[8],
		MemoryUsedBytes: w[9], MemoryPeakBytes: w[10], OverlayUsedBytes: w[11], DiskReadBytes: w[12], DiskWrittenBytes: w[13],
		NetworkReceivedBytes: w[14], NetworkSentBytes: w[15], Programs: w[16],
	}, true
}
