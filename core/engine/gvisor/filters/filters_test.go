package filters_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/filters"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/filters/compile"
)

func TestFiltersAreThoseOfThePinnedVersion(t *testing.T) {
	have, err := filters.Load()
	if err != nil {
		t.Skip("needs filters compiled for this processor: go generate on it")
	}
	want, err := compile.All()
	require.NoError(t, err)
	require.NotEmpty(t, want.Sentry)
	require.NotEmpty(t, want.Gofer)
	require.Len(t, want.Sentry[0].PID, 1)
	require.Empty(t, want.Gofer[0].PID)
	require.Equal(t, want, have, "run go generate ./core/engine/gvisor/filters")
}
