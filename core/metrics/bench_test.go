//go:build linux

package metrics

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/process"
)

// BenchmarkSnapshot reads 100 live slots of 100 writers that this process owns.
func BenchmarkSnapshot(b *testing.B) {
	reg, err := Open(b.TempDir(), 0)
	require.NoError(b, err)
	defer reg.Close()
	me, err := process.Self()
	require.NoError(b, err)
	for i := range 100 {
		token, err := reg.Reserve(fmt.Sprintf("sandbox-%d", i), fmt.Sprintf("%024x", i), Limits{}, me)
		require.NoError(b, err)
		w, err := reg.Activate(token, me)
		require.NoError(b, err)
		defer w.Release(false)
		require.NoError(b, w.Write(patterned(uint64(i))))
	}
	for b.Loop() {
		entries, err := reg.Snapshot()
		if err != nil || len(entries) != 100 {
			b.Fatal(len(entries), err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	reg, err := Open(b.TempDir(), 0)
	require.NoError(b, err)
	defer reg.Close()
	me, err := process.Self()
	require.NoError(b, err)
	token, err := reg.Reserve("web", "id", Limits{}, me)
	require.NoError(b, err)
	w, err := reg.Activate(token, me)
	require.NoError(b, err)
	defer w.Release(false)
	for b.Loop() {
		if err := w.Write(patterned(1)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReserveRelease(b *testing.B) {
	reg, err := Open(b.TempDir(), 0)
	require.NoError(b, err)
	defer reg.Close()
	me, err := process.Self()
	require.NoError(b, err)
	for b.Loop() {
		token, err := reg.Reserve("web", "id", Limits{}, me)
		require.NoError(b, err)
		done, err := reg.ReleaseReserved(token)
		require.NoError(b, err)
		require.True(b, done)
	}
}
