package sentry

import (
	"slices"
	"testing"
	_ "unsafe" // for linkname

	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gvisor.dev/gvisor/pkg/sentry/platform"
	_ "gvisor.dev/gvisor/runsc/cmd" // defines goferCaps
	"gvisor.dev/gvisor/runsc/cmd/sentry/sentrycmd"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/early"
)

//go:linkname goferCaps gvisor.dev/gvisor/runsc/cmd.goferCaps
var goferCaps *specs.LinuxCapabilities

func mask(t *testing.T, names []string) (set uint64) {
	t.Helper()
	for _, c := range capability.ListKnown() {
		if slices.Contains(names, "CAP_"+capName(c)) {
			set |= 1 << uint(c)
		}
	}
	return set
}

func capName(c capability.Cap) string {
	name := []byte(c.String())
	for i, b := range name {
		if 'a' <= b && b <= 'z' {
			name[i] = b - 'a' + 'A'
		}
	}
	return string(name)
}

// What sentry and gofer give up before gVisor's code runs is what that would give up.
func TestBoundingSetsAreGVisors(t *testing.T) {
	const changed = "the pinned gVisor leaves other capabilities: adapt the early package"
	p, err := platform.Lookup(platformName)
	require.NoError(t, err)
	names := slices.Clone(sentrycmd.DirectfsSandboxLinuxCaps.Bounding)
	if p.Requirements().RequiresCapSysPtrace {
		names = append(names, "CAP_SYS_PTRACE")
	}
	assert.Equal(t, uint64(early.SentryBounding), mask(t, names), changed)
	assert.Equal(t, uint64(early.GoferBounding), mask(t, goferCaps.Bounding), changed)
}
