package disklock

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestSetHasAnImageOnce(t *testing.T) {
	path := image(t)
	dir := filepath.Dir(path)
	link, hard := filepath.Join(dir, "link"), filepath.Join(dir, "hard")
	require.NoError(t, os.Symlink("image", link))
	require.NoError(t, os.Link(path, hard))
	same := []string{path, link, hard, dir + "/../" + filepath.Base(dir) + "/image", dir + "//./image"}
	for _, first := range []Mode{Shared, Exclusive} {
		for _, second := range []Mode{Shared, Exclusive} {
			for _, other := range same {
				var set Set
				_, err := set.Lock(path, first, nil)
				require.NoError(t, err)
				before := descriptors(t)
				_, err = set.Lock(other, second, nil)
				refused(t, err, fault.Invalid, fmt.Sprintf("%q is the same file as %q", other, path))
				require.Equal(t, before, descriptors(t))
				require.NoError(t, set.Close())
				free(t, path)
			}
		}
	}
}

func TestSetHasSeveralImages(t *testing.T) {
	a, b, busy := image(t), image(t), image(t)
	holding(t, nil, "lock", busy, "exclusive")
	var set Set
	_, err := set.Lock(a, Exclusive, nil)
	require.NoError(t, err)
	_, err = set.Lock(b, Shared, nil)
	require.NoError(t, err)
	_, err = set.Lock(busy, Shared, nil)
	refused(t, err, fault.State, fmt.Sprintf("%q", busy))
	require.Len(t, set.Held(), 2)

	var other Set
	_, err = other.Lock(b, Shared, nil)
	require.NoError(t, err, "another sandbox may read what one reads")
	_, err = other.Lock(a, Shared, nil)
	refused(t, err, fault.State)
	require.NoError(t, other.Close())
	require.NoError(t, set.Close())
	require.Empty(t, set.Held())
	free(t, a)
	free(t, b)
}

func TestSetAddsWhatWasHandedOver(t *testing.T) {
	path := image(t)
	var set Set
	for range 2 {
		h, err := Lock(path, Shared, nil)
		require.NoError(t, err)
		err = set.Add(h)
		if len(set.Held()) == 1 && err == nil {
			continue
		}
		refused(t, err, fault.Invalid, "is the same file as")
		require.ErrorIs(t, h.Close(), os.ErrClosed, "what is refused is closed")
	}
	require.Len(t, set.Held(), 1)
	require.NoError(t, set.Close())
	free(t, path)
}
