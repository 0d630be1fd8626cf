package store

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/windows"

	"github.com/libmicrosandbox/microsandbox/core/dir"
	"github.com/libmicrosandbox/microsandbox/core/failpoint"
	"github.com/libmicrosandbox/microsandbox/core/winsys"
)

// Claim is a sandbox's directory, held by its supervisor through the lock in it.
//
// The lock is an open file that nobody else can open, and that is deleted with its
// last handle: however the supervisor ends, no lock is left. What else is there
// without one is a dead sandbox's.
type Claim struct {
	root  *Root
	entry string // name in the root's directory
	lock  *os.File
	rec   Record
}

// Claim makes the directory of rec.Name. Fails with Exists while another living
// sandbox has the name. What a dead one left is removed.
func (r *Root) Claim(rec Record) (*Claim, error) {
	rec.Version, rec.BootID = recordVersion, BootID()
	entry := key(rec.Name)
	c := &Claim{root: r, entry: entry, rec: rec}
	for deadline := time.Now().Add(sweepLimit); c.lock == nil; {
		lock, err := r.take(entry, true)
		switch {
		case err == nil:
			c.lock = lock
			continue
		case !errors.Is(err, errHeld):
			return nil, r.claimError(err, rec.Name)
		case !r.dying(entry) || time.Now().After(deadline):
			return nil, r.claimError(r.conflict(entry, rec.Name), rec.Name)
		}
		time.Sleep(sweepPoll)
	}
	failpoint.Point("claim.locked")
	err := r.clean(entry)
	if err == nil {
		err = c.write()
	}
	if err != nil {
		c.Remove()
		return nil, r.claimError(err, rec.Name)
	}
	failpoint.Point("claim.named")
	return c, nil
}

// errHeld says that somebody has an entry's lock.
var errHeld = errors.New("the lock is held")

// take takes the lock of an entry, which it makes on demand. A lock that its last
// holder is just closing counts as held.
func (r *Root) take(entry string, make bool) (*os.File, error) {
	sa, err := winsys.Private(false)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(r.dir, entry)
	for {
		if make {
			if err := winsys.MakePrivateDir(path); err != nil {
				return nil, err
			}
		}
		const access = windows.GENERIC_READ | windows.GENERIC_WRITE | windows.DELETE
		lock, err := winsys.Open(filepath.Join(path, lockName), access, 0, windows.OPEN_ALWAYS, windows.FILE_FLAG_DELETE_ON_CLOSE, sa)
		switch {
		case err == nil:
			return lock, nil
		case errors.Is(err, windows.ERROR_SHARING_VIOLATION), errors.Is(err, windows.ERROR_ACCESS_DENIED),
			errors.Is(err, windows.ERROR_DELETE_PENDING):
			return nil, errHeld
		case make && os.IsNotExist(err): // a sweeper has removed the directory
			continue
		}
		return nil, err
	}
}

// dying reports whether an entry's lock is held only for a moment: somebody is
// sweeping it or has yet to write who he is, or its supervisor is ending.
func (r *Root) dying(entry string) bool {
	rec, err := r.read(entry)
	return err != nil || !rec.living()
}

// clean removes what a dead sandbox left. The caller holds its lock.
func (r *Root) clean(entry string) error {
	if rec, err := r.read(entry); err == nil {
		WaitGone(rec.Children)
	}
	return winsys.Empty(filepath.Join(r.dir, entry), lockName)
}

// Dir is the absolute path of the directory. It does not change.
func (c *Claim) Dir() string { return filepath.Join(c.root.dir, c.entry) }

// DirFD refers to the directory.
func (c *Claim) DirFD() dir.Ref { return c.Dir() }

func (c *Claim) write() error {
	data, err := json.Marshal(c.rec)
	if err != nil {
		return err
	}
	path := filepath.Join(c.Dir(), recordName)
	return writeFile(path, path+".new", data)
}

// Remove takes the directory away and gives up the lock. Idempotent; the claim is of
// no use afterwards.
func (c *Claim) Remove() error {
	if c.lock == nil {
		return nil
	}
	err := winsys.Empty(c.Dir(), lockName)
	c.lock.Close()
	c.lock = nil
	c.root.rmdir(c.entry)
	return err
}

// rmdir removes an empty entry. In one that is not empty somebody else has begun.
func (r *Root) rmdir(entry string) { os.Remove(filepath.Join(r.dir, entry)) }
