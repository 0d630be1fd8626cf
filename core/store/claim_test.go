//go:build linux

package store

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/process"
)

func code(c fault.Code) error { return &fault.Error{Code: c} }

func self(t *testing.T, name string) Record {
	t.Helper()
	me, err := process.Self()
	require.NoError(t, err)
	return Record{Name: name, Supervisor: me}
}

func TestClaimFindRemove(t *testing.T) {
	root := newRoot(t)
	claim, err := root.Claim(self(t, "a"))
	require.NoError(t, err)
	require.NoError(t, claim.Update(func(r *Record) { r.State, r.Engine = 2, "gvisor" }))
	rec, dir, err := root.Find("a")
	require.NoError(t, err)
	defer dir.Close()
	assert.Equal(t, claim.Record(), rec)
	assert.Equal(t, "gvisor", rec.Engine)
	assert.Equal(t, BootID(), rec.BootID)
	st, err := os.Stat(claim.Dir())
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), st.Mode().Perm())
	assert.False(t, root.Sweep("a"), "the living is not swept")

	require.NoError(t, claim.Remove())
	require.NoError(t, claim.Remove(), "idempotent")
	assert.Empty(t, entryNames(t, root))
	_, _, err = root.Find("a")
	assert.ErrorIs(t, err, code(fault.NotFound))
}

func TestConflictNamesThePid(t *testing.T) {
	root := newRoot(t)
	h := hold(t, root.Path(), "mine")
	_, err := root.Claim(self(t, "mine"))
	require.ErrorIs(t, err, code(fault.Exists))
	assert.ErrorContains(t, err, "pid "+itoa(h.cmd.Process.Pid))
	assert.Len(t, entryNames(t, root), 1, "the loser leaves nothing")
	other, err := root.Claim(self(t, "Mine"))
	require.NoError(t, err, "another name")
	require.NoError(t, other.Remove())

	h.release() // ends without cleaning up
	claim, err := root.Claim(self(t, "mine"))
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(claim.Dir(), "left"))
	assert.ErrorIs(t, err, os.ErrNotExist, "what the dead left is gone")
	require.NoError(t, claim.Remove())
}

func TestEveryNameIsItsOwn(t *testing.T) {
	root := newRoot(t)
	var claims []*Claim
	for _, name := range oddNames() {
		claim, err := root.Claim(self(t, name))
		require.NoError(t, err, "%q", name)
		claims = append(claims, claim)
	}
	for _, name := range oddNames() {
		rec, dir, err := root.Find(name)
		if strings.ToValidUTF8(name, "") != name {
			continue // JSON cannot carry it: core refuses such names
		}
		require.NoError(t, err, "%q", name)
		dir.Close()
		assert.Equal(t, name, rec.Name)
	}
	for _, c := range claims {
		require.NoError(t, c.Remove())
	}
	assert.Empty(t, entryNames(t, root))
}

func TestOneOfManyClaimantsWins(t *testing.T) {
	root := newRoot(t)
	die(t, "claimed", root.Path(), "prize") // there is something to sweep, too
	const contenders = 16
	var wg sync.WaitGroup
	var mu sync.Mutex
	var outs []string
	var releases []func()
	for range contenders {
		wg.Go(func() {
			cmd := actor("contend", root.Path(), "prize")
			in, err := cmd.StdinPipe()
			require.NoError(t, err)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			buf := make([]byte, 400)
			n, _ := out.Read(buf)
			mu.Lock()
			defer mu.Unlock()
			outs = append(outs, string(buf[:n]))
			releases = append(releases, func() {
				in.Close()
				cmd.Wait()
			})
		})
	}
	wg.Wait()
	won := 0
	for _, out := range outs {
		if out == "won\n" {
			won++
		} else {
			assert.Contains(t, out, "is running", "the losers are told why")
		}
	}
	assert.Equal(t, 1, won, "%q", outs)
	for _, release := range releases {
		release()
	}
	require.NoError(t, root.SweepAll())
	assert.Empty(t, entryNames(t, root))
}

// While somebody else sweeps the dead it holds their lock: that is no life.
func TestClaimWaitsForASweeper(t *testing.T) {
	root := newRoot(t)
	die(t, "claimed", root.Path(), "a")
	lock, err := os.OpenFile(filepath.Join(root.dir.Name(), key("a"), lockName), os.O_RDWR, 0)
	require.NoError(t, err)
	require.NoError(t, unix.Flock(int(lock.Fd()), unix.LOCK_EX))
	time.AfterFunc(200*time.Millisecond, func() { lock.Close() })
	claim, err := root.Claim(self(t, "a"))
	require.NoError(t, err)
	require.NoError(t, claim.Remove())
}
