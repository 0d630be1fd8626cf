package gvisor

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/cpuid"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/sentry"
)

// What changes from one question to the next depends on the processor that answers.
func stable(all cpuid.Static) cpuid.Static {
	same := cpuid.Static{}
	for in, out := range all {
		if in.Eax == 1 {
			out.Ebx &^= 0xff << 24 // id of the processor
		}
		same[in] = out
	}
	return same
}

func TestAnswersOfTheProcessorArriveAsTheyAre(t *testing.T) {
	native := (cpuid.FeatureSet{Function: &cpuid.Native{}}).Fixed()
	sentry.UseCPU(askCPU())
	carried := cpuid.HostFeatureSet()
	require.NotEmpty(t, carried.ToStatic())
	assert.Equal(t, stable(native.ToStatic()), stable(carried.ToStatic()))
	for _, bad := range []string{"", "?", "AAAA"} {
		assert.Nil(t, sentry.ParseCPU(bad), "%q", bad)
	}
}
