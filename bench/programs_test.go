package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGrowthInProgramsFailsTheRun(t *testing.T) {
	early := map[string]owned{}
	for _, name := range processNames {
		early[name] = owned{descriptors: 10, threads: 8, resident: 1000}
	}
	for name, c := range map[string]struct {
		late owned
		want string
	}{
		"nothing":         {owned{10, 8, 1000}, ""},
		"fewer":           {owned{9, 7, 900}, ""},
		"a little memory": {owned{14, 10, 1149}, ""},
		"a descriptor":    {owned{15, 8, 1000}, "sentry: 15 descriptors instead of 10"},
		"threads":         {owned{10, 11, 1000}, "sentry: 11 threads instead of 8"},
		"a lot of memory": {owned{10, 8, 1151}, "sentry: resident memory grew by 15.1 %"},
	} {
		t.Run(name, func(t *testing.T) {
			late := map[string]owned{}
			for name, o := range early {
				late[name] = o
			}
			late["sentry"] = c.late
			var m measurement
			assert.Len(t, m.compareOwned(early, late, 10000), 3*len(processNames))
			if c.want == "" {
				assert.Empty(t, m.failures)
				return
			}
			require.Len(t, m.failures, 1)
			assert.Contains(t, m.failures[0], c.want)
		})
	}
}

func TestOwnedByThisProcess(t *testing.T) {
	before, err := ownedBy(os.Getpid())
	require.NoError(t, err)
	assert.NotZero(t, before.threads)
	assert.NotZero(t, before.resident)
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	defer f.Close()
	after, err := ownedBy(os.Getpid())
	require.NoError(t, err)
	assert.Equal(t, before.descriptors+1, after.descriptors)
}
