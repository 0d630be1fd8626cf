//go:build linux

package store

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func TestRenameKeepsTheRulesOfNames(t *testing.T) {
	root := newRoot(t)
	hold(t, root.Path(), "taken")
	claim, err := root.Claim(self(t, "waiting"))
	require.NoError(t, err)
	defer claim.Remove()
	before := claim.Dir()
	assert.ErrorIs(t, claim.Rename("taken"), code(fault.Exists))
	assert.Equal(t, before, claim.Dir(), "it has its own name still")
	_, dir, err := root.Find("waiting")
	require.NoError(t, err)
	dir.Close()

	require.NoError(t, claim.Rename("mine"))
	for _, name := range []string{"waiting", "mine"} {
		_, _, err := root.Find(name)
		assert.ErrorIs(t, err, code(fault.NotFound), "%s, until the record says so", name)
	}
	_, err = root.Claim(self(t, "mine"))
	assert.ErrorIs(t, err, code(fault.Exists), "but nobody else gets it")
	require.NoError(t, claim.Update(func(r *Record) { r.Name = "mine" }))
	_, dir, err = root.Find("mine")
	require.NoError(t, err)
	dir.Close()
	again, err := root.Claim(self(t, "waiting"))
	require.NoError(t, err, "the old name is free")
	require.NoError(t, again.Remove())
	require.NoError(t, claim.Remove())
	_, _, err = root.Find("mine")
	assert.ErrorIs(t, err, code(fault.NotFound))
}

// Whoever looks while sandboxes get other names finds each once, and nothing lost.
func TestAuditBesideRenames(t *testing.T) {
	root := newRoot(t)
	claim, err := root.Claim(self(t, "a"))
	require.NoError(t, err)
	defer claim.Remove()
	var group sync.WaitGroup
	group.Go(func() {
		for i := range 300 {
			assert.NoError(t, claim.Rename(fmt.Sprint("b", i)))
		}
	})
	for range 100 {
		findings, err := root.Audit()
		require.NoError(t, err)
		for _, f := range findings {
			assert.False(t, f.Orphan, "%+v", f)
		}
	}
	group.Wait()
}
