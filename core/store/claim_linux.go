package store

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/failpoint"
)

// Claim is a sandbox's directory, held by its supervisor through the lock in it.
type Claim struct {
	root  *Root
	entry string // name in the root's directory
	dir   *os.File
	lock  *os.File
	rec   Record
}

// Claim makes the directory of rec.Name. Fails with Exists while another living
// sandbox has the name. What a dead one left is removed.
func (r *Root) Claim(rec Record) (*Claim, error) {
	rec.Version, rec.BootID = recordVersion, BootID()
	target := key(rec.Name)
	temp, err := tempName(newPrefix, target)
	if err != nil {
		return nil, r.claimError(err, rec.Name)
	}
	c, err := r.prepare(temp, rec)
	if err != nil {
		return nil, r.claimError(err, rec.Name)
	}
	if err := r.move(temp, rec.Name); err != nil {
		c.Remove()
		return nil, r.claimError(err, rec.Name)
	}
	failpoint.Point("claim.named")
	c.entry = target
	return c, nil
}

// move gives an entry the name of a sandbox, unless a living one has it.
func (r *Root) move(entry, name string) error {
	target := key(name)
	for deadline := time.Now().Add(sweepLimit); ; {
		err := unix.Renameat2(r.fd(), entry, r.fd(), target, unix.RENAME_NOREPLACE)
		if err != unix.EEXIST {
			return err
		}
		if r.sweepEntry(target) {
			continue
		}
		if !r.dying(target) || time.Now().After(deadline) {
			return r.conflict(target, name)
		}
		time.Sleep(sweepPoll)
	}
}

// Rename moves the claim to another name, with the rules of Claim; on error it has
// its own still. The record says the old name until it is updated: until then the
// new one is taken, and finds nothing.
func (c *Claim) Rename(name string) error {
	if err := c.root.move(c.entry, name); err != nil {
		return c.root.claimError(err, name)
	}
	c.entry = key(name)
	return nil
}

// dying reports whether an entry's lock is held only for a moment: its supervisor
// is dead and its last threads are ending, for which this waits, or somebody else
// is sweeping it, or it never was a sandbox.
func (r *Root) dying(entry string) bool {
	rec, err := r.read(entry)
	if err != nil {
		return r.absent(entry)
	}
	if rec.Momentary || rec.BootID != BootID() || rec.Supervisor.Alive() && !killed(rec.Supervisor.Pid) {
		return rec.Momentary
	}
	endedBy(rec.Supervisor, time.Now().Add(deathLimit))
	return true
}

// prepare makes the directory under its temporary name, locked and with a record.
func (r *Root) prepare(temp string, rec Record) (*Claim, error) {
	if err := unix.Mkdirat(r.fd(), temp, 0o700); err != nil {
		return nil, os.NewSyscallError("mkdir", err)
	}
	failpoint.Point("claim.made")
	c := &Claim{root: r, entry: temp, rec: rec}
	dir, err := r.openEntry(temp)
	if err != nil {
		c.Remove()
		return nil, os.NewSyscallError("open", err)
	}
	c.dir = dir
	lock, err := unix.Openat(c.DirFD(), lockName, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o600)
	if err == nil {
		c.lock = os.NewFile(uintptr(lock), lockName)
		err = unix.Flock(lock, unix.LOCK_EX|unix.LOCK_NB)
	}
	failpoint.Point("claim.locked")
	if err == nil {
		err = c.write()
	}
	if err != nil {
		c.Remove()
		return nil, err
	}
	failpoint.Point("claim.written")
	return c, nil
}

// Dir is the absolute path of the directory. It does not change.
func (c *Claim) Dir() string { return filepath.Join(c.root.dir.Name(), c.entry) }

// DirFD is the open directory; it stays the claim's.
func (c *Claim) DirFD() int { return int(c.dir.Fd()) }

// LockPath names the lock file through our descriptor of it.
func (c *Claim) LockPath() string { return fmt.Sprintf("/proc/self/fd/%d", c.lock.Fd()) }

// LockGone reports whether somebody has deleted the lock file under us.
func (c *Claim) LockGone() bool {
	var st unix.Stat_t
	return unix.Fstat(int(c.lock.Fd()), &st) == nil && st.Nlink == 0
}

func (c *Claim) write() error {
	data, err := json.Marshal(c.rec)
	if err != nil {
		return err
	}
	const temp = recordName + ".new"
	fd, err := unix.Openat(c.DirFD(), temp, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return os.NewSyscallError("open record", err)
	}
	file := os.NewFile(uintptr(fd), temp)
	_, err = file.Write(data)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.NewSyscallError("rename record", c.replace(temp))
	}
	return err
}

// replace makes temp the record, as one step for others. A file that is renamed over
// another is written to the disk at once by ext4, which this record is not worth, and
// its blocks are then to be freed; two that change places are not.
func (c *Claim) replace(temp string) error {
	if unix.Renameat2(c.DirFD(), temp, c.DirFD(), recordName, unix.RENAME_EXCHANGE) == nil {
		return unix.Unlinkat(c.DirFD(), temp, 0)
	}
	// There is none yet, or the file system cannot do that.
	return unix.Renameat(c.DirFD(), temp, c.DirFD(), recordName)
}

// Remove takes the directory away, as one step for others, and gives up the
// lock. Idempotent; the claim is of no use afterwards.
func (c *Claim) Remove() error {
	var err error
	if c.named() {
		err = c.root.discard(c.entry)
	}
	if c.dir != nil {
		c.dir.Close()
	}
	if c.lock != nil {
		c.lock.Close()
	}
	return err
}

// named reports whether our entry is still this directory: somebody may have
// deleted it, and another sandbox have taken the name.
func (c *Claim) named() bool {
	if c.dir == nil {
		return true
	}
	var ours, now unix.Stat_t
	return unix.Fstat(c.DirFD(), &ours) == nil &&
		unix.Fstatat(c.root.fd(), c.entry, &now, unix.AT_SYMLINK_NOFOLLOW) == nil && ours.Ino == now.Ino && ours.Dev == now.Dev
}

// discard renames an entry out of sight and deletes it. The caller holds its lock.
func (r *Root) discard(entry string) error {
	gone := entry
	if isKey(entry) {
		temp, err := tempName(delPrefix, entry)
		if err != nil {
			return err
		}
		switch err := unix.Renameat(r.fd(), entry, r.fd(), temp); err {
		case nil:
			failpoint.Point("discard.renamed")
			gone = temp
		case unix.ENOENT:
			return nil
		default:
			return os.NewSyscallError("rename", err)
		}
	}
	return os.RemoveAll(filepath.Join(r.dir.Name(), gone))
}
