package crash

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/store"
	"github.com/libmicrosandbox/microsandbox/tests/harness"
)

// A sandbox leaves to others what they have swept since it began; the next one finds
// what has died since.
func TestOneOfManySweeps(t *testing.T) {
	if harness.Pooled() {
		t.Skip("needs sandboxes that begin at their create: one that waited has swept before")
	}
	o := harness.Options(t)
	sb := harness.Create(t, o)
	root, err := store.OpenExistingRoot(o.State.Dir)
	require.NoError(t, err)
	defer root.Close()
	root.NoteSweep(time.Now())
	litter := filepath.Join(root.Dir(), ".del-1-1-litter")
	require.NoError(t, os.Mkdir(litter, 0o700))
	harness.End(t, sb)
	assert.DirExists(t, litter)
	harness.End(t, harness.Create(t, o))
	assert.NoDirExists(t, litter)
}
