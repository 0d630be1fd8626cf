package sentry

import (
	"encoding/base64"
	"encoding/binary"
	"sync"
	_ "unsafe" // for linkname

	"gvisor.dev/gvisor/pkg/cpuid"
)

// ParseCPU reads what the supervisor has asked the processor; nil for anything else.
func ParseCPU(text string) cpuid.Static {
	const entry = 6 * 4
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(data) == 0 || len(data)%entry != 0 {
		return nil
	}
	all := cpuid.Static{}
	for ; len(data) > 0; data = data[entry:] {
		v := func(i int) uint32 { return binary.LittleEndian.Uint32(data[4*i:]) }
		all[cpuid.In{Eax: v(0), Ecx: v(1)}] = cpuid.Out{Eax: v(2), Ebx: v(3), Ecx: v(4), Edx: v(5)}
	}
	return all
}

// What gVisor's cpuid.Initialize does and sets, once.
//
//go:linkname cpuOnce gvisor.dev/gvisor/pkg/cpuid.initOnce
var cpuOnce sync.Once

//go:linkname hostCPU gvisor.dev/gvisor/pkg/cpuid.hostFeatureSet
var hostCPU cpuid.FeatureSet

//go:linkname readMaxCPUFreq gvisor.dev/gvisor/pkg/cpuid.readMaxCPUFreq
func readMaxCPUFreq()

//go:linkname initHWCap gvisor.dev/gvisor/pkg/cpuid.initHWCap
func initHWCap()

// UseCPU spares the sentry the questions; without answers it asks itself.
func UseCPU(text string) {
	all := ParseCPU(text)
	if all == nil {
		return
	}
	cpuOnce.Do(func() {
		hostCPU = all.ToFeatureSet()
		readMaxCPUFreq()
		initHWCap()
	})
}
