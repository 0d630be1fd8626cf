//go:build linux

package store

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestTheDeadAreSweptAtEveryStep(t *testing.T) {
	for _, step := range []string{"mkdir", "prepared", "claimed", "lent", "discarding"} {
		for verb, look := range map[string]func(*Root) error{
			"list":  func(r *Root) error { _, err := r.List(); return err },
			"sweep": (*Root).SweepAll,
		} {
			t.Run(step+" "+verb, func(t *testing.T) {
				root := newRoot(t)
				die(t, step, root.Path(), "a")
				require.NotEmpty(t, entryNames(t, root))
				require.NoError(t, look(root))
				assert.Empty(t, entryNames(t, root))
			})
		}
		t.Run(step+" claim", func(t *testing.T) {
			root := newRoot(t)
			die(t, step, root.Path(), "a")
			claim, err := root.Claim(self(t, "a"))
			require.NoError(t, err)
			require.NoError(t, claim.Remove())
		})
	}
}

func TestTheLivingAreNotSwept(t *testing.T) {
	root := newRoot(t)
	hold(t, root.Path(), "alive")
	temp, err := tempName(newPrefix, key("being made"))
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(filepath.Join(root.dir.Name(), temp), 0o700))
	require.NoError(t, root.SweepAll())
	assert.Len(t, entryNames(t, root), 2)
	records, err := root.List()
	require.NoError(t, err)
	require.Len(t, records, 1)
	assert.Equal(t, "alive", records[0].Name)
}

// A directory whose name speaks of a process that has the id but is a later one.
func TestReusedPidIsNobody(t *testing.T) {
	root := newRoot(t)
	for _, name := range []string{newPrefix + itoa(os.Getpid()) + "-1-" + key("a"), newPrefix + "garbage", delPrefix, newPrefix + "-1-1-"} {
		require.NoError(t, os.Mkdir(filepath.Join(root.dir.Name(), name), 0o700))
	}
	require.NoError(t, root.SweepAll())
	assert.Empty(t, entryNames(t, root))
}

func TestGarbageRecords(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no JSON": "{", "another kind": `["x"]`, "zeros": string(make([]byte, 4096)), "wrong types": `{"name":7}`,
		"children of all kinds": `{"name":"a","children":[{"pid":-1},{"pid":1},{"pid":999999999,"start_ticks":1}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			root := newRoot(t)
			h := hold(t, root.Path(), "a")
			path := filepath.Join(root.dir.Name(), key("a"), recordName)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			_, err := root.List()
			require.NoError(t, err, "the living one is left alone")
			_, _, err = root.Find("a")
			if name != "children of all kinds" {
				assert.ErrorIs(t, err, code(fault.NotFound))
			}
			_, err = root.Claim(self(t, "a"))
			assert.ErrorIs(t, err, code(fault.Exists))
			h.release()
			require.NoError(t, root.SweepAll())
			assert.Empty(t, entryNames(t, root), "a dead one goes, whatever its record says")
		})
	}
}

// Files that are not ours stay, and do no harm.
func TestForeignEntriesStay(t *testing.T) {
	root := newRoot(t)
	for _, name := range []string{"README", "lost+found", key("x")[:31], key("x") + "0"} {
		require.NoError(t, os.Mkdir(filepath.Join(root.dir.Name(), name), 0o700))
	}
	require.NoError(t, os.Symlink("/etc", filepath.Join(root.dir.Name(), key("link"))))
	require.NoError(t, root.SweepAll())
	records, err := root.List()
	require.NoError(t, err)
	assert.Empty(t, records)
	assert.Len(t, entryNames(t, root), 5)
}

func TestFindWhileRemoving(t *testing.T) {
	root := newRoot(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			mine, err := OpenExistingRoot(root.Path())
			if !assert.NoError(t, err) {
				return
			}
			defer mine.Close()
			for {
				select {
				case <-stop:
					return
				default:
				}
				rec, dir, err := mine.Find("a")
				if err == nil {
					assert.Equal(t, "a", rec.Name)
					dir.Close()
				} else {
					assert.ErrorIs(t, err, code(fault.NotFound))
				}
				_, err = mine.List()
				assert.NoError(t, err)
			}
		})
	}
	for range 200 {
		claim, err := root.Claim(self(t, "a"))
		require.NoError(t, err)
		require.NoError(t, claim.Remove())
	}
	close(stop)
	wg.Wait()
	assert.Empty(t, entryNames(t, root))
}
