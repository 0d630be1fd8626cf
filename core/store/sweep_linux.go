package store

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/cgroup"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

func (r *Root) openEntry(entry string) (*os.File, error) {
	fd, err := unix.Openat(r.fd(), entry, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), filepath.Join(r.dir.Name(), entry)), nil
}

func (r *Root) entries() ([]string, error) {
	r.list.Lock()
	defer r.list.Unlock()
	if _, err := r.dir.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	names, err := r.dir.Readdirnames(-1)
	if err != nil {
		return nil, fault.Wrap(err, fault.IO, fault.StageState, "list state directory "+r.path)
	}
	return names, nil
}

// read parses the record of an entry.
func (r *Root) read(entry string) (Record, error) {
	var rec Record
	fd, err := unix.Openat(r.fd(), entry+"/"+recordName, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return rec, err
	}
	file := os.NewFile(uintptr(fd), recordName)
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	return rec, err
}

// sweepEntry removes an entry whose supervisor is dead and reports whether it is
// gone. A lock that can be taken proves death: the supervisor holds it from
// before the entry has its name until the kernel closes it.
func (r *Root) sweepEntry(entry string) bool {
	if strings.HasPrefix(entry, newPrefix) || strings.HasPrefix(entry, delPrefix) {
		if tempOwnerAlive(entry) {
			return false
		}
		return r.discard(entry) == nil
	}
	if !isKey(entry) {
		return false
	}
	fd, err := unix.Openat(r.fd(), entry+"/"+lockName, unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.Is(err, syscall.ENOENT) && r.absent(entry)
	}
	defer unix.Close(fd)
	if !lock(fd, 0) && (!r.dying(entry) || !lock(fd, lentLimit)) {
		return false
	}
	// Another sweeper may have removed this entry, and a new sandbox taken its
	// name, between open and lock.
	var held, now unix.Stat_t
	if unix.Fstat(fd, &held) != nil || unix.Fstatat(r.fd(), entry+"/"+lockName, &now, unix.AT_SYMLINK_NOFOLLOW) != nil ||
		held.Ino != now.Ino || held.Dev != now.Dev {
		return r.absent(entry)
	}
	if rec, err := r.read(entry); err == nil {
		WaitGone(rec.Children)
		for _, dir := range rec.Cgroups {
			cgroup.Remove(dir) // what stays in use is found by the audit
		}
	}
	return r.discard(entry) == nil
}

// lock takes the lock of an open file; false when it is not to be had within the time.
func lock(fd int, within time.Duration) bool {
	for deadline := time.Now().Add(within); unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) != nil; time.Sleep(sweepPoll) {
		if !time.Now().Before(deadline) {
			return false
		}
	}
	return true
}

func (r *Root) absent(entry string) bool {
	var st unix.Stat_t
	return unix.Fstatat(r.fd(), entry, &st, unix.AT_SYMLINK_NOFOLLOW) == unix.ENOENT
}

// SweepAll removes what dead sandboxes left.
func (r *Root) SweepAll() error {
	groups := cgroup.Left(CgroupOwner(r.path)) // before the records: each is named by one before it is made
	entries, err := r.entries()
	named := map[string]bool{}
	for _, entry := range entries {
		if r.sweepEntry(entry) {
			continue
		}
		if rec, err := r.read(entry); err == nil {
			for _, dir := range rec.Cgroups {
				named[dir] = true
			}
		}
	}
	for _, dir := range groups {
		if !named[dir] && err == nil {
			cgroup.RemoveEmpty(dir)
		}
	}
	return err
}

// LeftBy reports whether something of the sandbox that a dead supervisor had is
// still there: its entry, or what a sweeper is deleting under a name for that.
func (r *Root) LeftBy(name string, pid int) bool {
	own := key(name)
	if rec, err := r.read(own); err == nil && rec.Supervisor.Pid == pid {
		return true
	}
	entries, err := r.entries()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(entry string) bool {
		return strings.HasPrefix(entry, delPrefix) && strings.HasSuffix(entry, "-"+own) ||
			strings.HasPrefix(entry, newPrefix+strconv.Itoa(pid)+"-")
	})
}
