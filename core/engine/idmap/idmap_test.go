package idmap

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestChooseIDs(t *testing.T) {
	first := []Span{{0, 4294967295}}
	ids, err := Choose(Source{UIDMap: first, GIDMap: first}, "a")
	require.NoError(t, err)
	require.GreaterOrEqual(t, ids.UID, uint64(RangeBase))
	require.Less(t, ids.UID+ids.Size, uint64(1)<<31+1)
	require.Equal(t, uint64(RangeSize), ids.Size)

	again, err := Choose(Source{UIDMap: first, GIDMap: first, Taken: []Span{{ids.UID + 5, 1}}}, "a")
	require.NoError(t, err)
	require.NotEqual(t, ids.UID, again.UID, "an account in the range")

	one, err := Choose(Source{UIDMap: first, GIDMap: first, Taken: []Span{{RangeBase, 1 << 30}}}, "a")
	require.NoError(t, err)
	require.Equal(t, [3]uint64{Nobody, Nobody, 1}, [3]uint64{one.UID, one.GID, one.Size})

	container := []Span{{0, 65536}}
	one, err = Choose(Source{UIDMap: container, GIDMap: container}, "a")
	require.NoError(t, err)
	require.Equal(t, uint64(Nobody), one.UID)

	tiny := []Span{{0, 1}}
	one, err = Choose(Source{UIDMap: tiny, GIDMap: tiny}, "a")
	require.NoError(t, err)
	require.Equal(t, uint64(0), one.UID, "root of a user namespace is not root of the host")

	user, err := Choose(Source{EUID: 1000, EGID: 100}, "a")
	require.NoError(t, err)
	require.Equal(t, [3]uint64{1000, 100, 1}, [3]uint64{user.UID, user.GID, user.Size})
}
