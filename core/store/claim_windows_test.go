package store

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/process"
)

func own(name string) Record {
	self, _ := process.Self()
	return Record{Name: name, Supervisor: self, Owner: self}
}

func TestNameIsTakenOnce(t *testing.T) {
	root, err := OpenRoot(t.TempDir())
	require.NoError(t, err)
	claim, err := root.Claim(own("one"))
	require.NoError(t, err)
	_, err = root.Claim(own("one"))
	assert.ErrorIs(t, err, &fault.Error{Code: fault.Exists})
	other, err := root.Claim(own("two"))
	require.NoError(t, err, "another name is free")
	require.NoError(t, other.Remove())
	list, err := root.List()
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, "one", list[0].Name)
	assert.False(t, root.Sweep("one"), "it lives")
	require.NoError(t, claim.Update(func(r *Record) { r.Engine = "job" }))
	rec, dir, err := root.Find("one")
	require.NoError(t, err)
	dir.Close()
	assert.Equal(t, "job", rec.Engine)
	require.NoError(t, claim.Remove())
	_, _, err = root.Find("one")
	assert.ErrorIs(t, err, &fault.Error{Code: fault.NotFound})
	left, err := os.ReadDir(filepath.Join(root.Path(), "sandboxes"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

// What a dead supervisor left, files in folders too, goes with the next claim or sweep.
func TestLeavingsAreSwept(t *testing.T) {
	root, err := OpenRoot(t.TempDir())
	require.NoError(t, err)
	leave := func() {
		claim, err := root.Claim(own("dead"))
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Join(claim.Dir(), "work", "deep"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(claim.Dir(), "work", "deep", "file"), nil, 0o600))
		require.NoError(t, claim.lock.Close()) // as its process's end does
	}
	leave()
	assert.True(t, root.Sweep("dead"))
	assert.False(t, root.LeftBy("dead", os.Getpid()))
	leave()
	claim, err := root.Claim(own("dead"))
	require.NoError(t, err)
	files, err := os.ReadDir(claim.Dir())
	require.NoError(t, err)
	assert.Len(t, files, 2, "the lock and the record")
	require.NoError(t, claim.Remove())
}

func TestOneOfManyGetsTheName(t *testing.T) {
	root, err := OpenRoot(t.TempDir())
	require.NoError(t, err)
	var wait sync.WaitGroup
	won := make(chan *Claim, 16)
	for range 16 {
		wait.Add(1)
		go func() {
			defer wait.Done()
			if claim, err := root.Claim(own("name")); err == nil {
				won <- claim
			} else {
				assert.ErrorIs(t, err, &fault.Error{Code: fault.Exists})
			}
		}()
	}
	wait.Wait()
	require.Len(t, won, 1)
	require.NoError(t, (<-won).Remove())
}

func TestShelf(t *testing.T) {
	dir := t.TempDir()
	none, err := OpenExistingShelf(dir)
	require.NoError(t, err)
	assert.Nil(t, none)
	shelf, err := OpenShelf(dir)
	require.NoError(t, err)
	require.NoError(t, shelf.Put(Stored{Name: "a", Config: []byte("{}"), Runs: 1}))
	require.NoError(t, shelf.Put(Stored{Name: "a", Config: []byte("{}"), Runs: 2}))
	rec, err := shelf.Get("a")
	require.NoError(t, err)
	assert.Equal(t, 2, rec.Runs)
	all, err := shelf.All()
	require.NoError(t, err)
	assert.Len(t, all, 1)
	require.NoError(t, shelf.Delete("a"))
	_, err = shelf.Get("a")
	assert.ErrorIs(t, err, &fault.Error{Code: fault.NotFound})
}

func TestAProcessIsKnownByItsCreation(t *testing.T) {
	self, err := process.Self()
	require.NoError(t, err)
	assert.True(t, self.Alive())
	assert.False(t, Process{Pid: self.Pid, Start: self.Start + 1}.Alive())
	assert.False(t, Process{Pid: 1 << 20, Start: self.Start}.Alive())
}
