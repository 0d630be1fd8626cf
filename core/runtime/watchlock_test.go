//go:build linux

package runtime

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/store"
)

func TestDeletionOfTheLockIsTold(t *testing.T) {
	for name, watch := range map[string]func(*store.Claim) (<-chan os.Signal, func()){
		"signal": deletions, "inotify": inotified,
	} {
		t.Run(name, func(t *testing.T) {
			root, err := store.OpenRoot(t.TempDir())
			require.NoError(t, err)
			defer root.Close()
			claim, err := root.Claim(store.Record{Name: name})
			require.NoError(t, err)
			defer claim.Remove()
			deleted, stop := watch(claim)
			require.NoError(t, claim.Update(func(*store.Record) {}), "no deletion")
			assert.False(t, claim.LockGone())
			require.NoError(t, os.Remove(filepath.Join(claim.Dir(), "lock")))
			select {
			case _, ok := <-deleted:
				assert.True(t, ok)
			case <-time.After(10 * time.Second):
				t.Fatal("nothing was told")
			}
			assert.True(t, claim.LockGone())
			stop()
		})
	}
}
