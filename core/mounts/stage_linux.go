package mounts

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

const (
	// StagedName is the name of a staged file in its directory. The file's own
	// name is never used: it may hold what an engine's options cannot carry, and
	// the guest sees the mount's target anyway.
	StagedName = "file"
	// DefaultMaxCopy is the largest file that is copied where it cannot be linked.
	DefaultMaxCopy = 256 << 20

	stagePrefix = "stage-"
)

// Staged is a single file in a directory of its own, for engines that can share
// directories only: sharing the file's real directory would show its siblings.
//
// It is a hard link where that is possible: then changes go both ways, until an
// editor of the host replaces the file by rename. Else it is a copy. Read-only
// is what the engine makes of it; a link's mode is the file's own.
type Staged struct {
	// Copied tells that the guest's changes do not come back, nor the host's arrive.
	Copied bool
	// Reason is why it could not be linked; nil when it was.
	Reason error

	base, name string
	dir        *os.File
}

// Stage puts the file of source into a new directory, mode 0700, in the
// directory base, which must be the caller's alone. A file of more than maxCopy
// bytes is not copied; 0 is DefaultMaxCopy. On error nothing is left. What a
// crash leaves, Sweep of base removes.
func Stage(base string, source *Source, maxCopy uint64) (*Staged, error) {
	if source.Dir {
		return nil, source.Spec.invalid("only files are staged, not directories")
	}
	if maxCopy == 0 {
		maxCopy = DefaultMaxCopy
	}
	parent, err := openBase(base)
	if err != nil {
		return nil, source.stageError(err)
	}
	defer parent.Close()
	st := &Staged{base: base, name: newStageName()}
	if err := unix.Mkdirat(int(parent.Fd()), st.name, 0o700); err != nil {
		return nil, source.stageError(os.NewSyscallError("mkdir", err))
	}
	if st.dir, err = openOwn(int(parent.Fd()), st.name); err == nil {
		err = st.fill(source, maxCopy)
	}
	if err != nil {
		return nil, source.stageError(errors.Join(err, st.Remove()))
	}
	return st, nil
}

func (s *Source) stageError(err error) error {
	return fault.Wrap(err, fault.IO, stage, fmt.Sprintf("%s: stage %q", s.Spec, s.Spec.Source))
}

func newStageName() string {
	var id [12]byte
	rand.Read(id[:])
	return stagePrefix + hex.EncodeToString(id[:])
}

// openBase opens a directory that nobody else may write: others could put a
// link in the place of a staged directory.
func openBase(base string) (*os.File, error) {
	fd, err := unix.Open(base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: base, Err: err}
	}
	f := os.NewFile(uintptr(fd), base)
	var st unix.Stat_t
	if err = unix.Fstat(fd, &st); err == nil && (int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0) {
		err = fault.New(fault.Permission, stage, "staging directory %q belongs to uid %d with mode %#o: it must be yours alone", base, st.Uid, st.Mode&0o7777)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// fill makes the staged file: by link, else by copy.
func (st *Staged) fill(source *Source, maxCopy uint64) error {
	dirfd := int(st.dir.Fd())
	// The path of the descriptor needs no privilege; AT_EMPTY_PATH would need
	// CAP_DAC_READ_SEARCH.
	err := unix.Linkat(unix.AT_FDCWD, fdPath(source.fd()), dirfd, StagedName, unix.AT_SYMLINK_FOLLOW)
	if err == nil {
		return nil
	}
	if !cannotLink(err) {
		return os.NewSyscallError("link", err)
	}
	st.Copied, st.Reason = true, os.NewSyscallError("link", err)
	return source.copyTo(dirfd, maxCopy)
}

// cannotLink tells whether a failed link leaves the copy as a way: another file
// system or mount, a link limit, a file of somebody else (fs.protected_hardlinks),
// a file system without links, a file that has no name any more.
func cannotLink(err error) bool {
	switch err {
	case unix.EXDEV, unix.EMLINK, unix.EPERM, unix.EACCES, unix.EOPNOTSUPP, unix.ENOSYS, unix.ENOENT:
		return true
	}
	return false
}

// WritesLost tells whether the guest may write to a file whose changes do not
// come back: the caller says so, or refuses.
func (st *Staged) WritesLost(spec Spec) bool { return st.Copied && !spec.ReadOnly }

// Path is the directory to share.
func (st *Staged) Path() string { return filepath.Join(st.base, st.name) }

// Dir is the open directory to share. It stays the Staged's.
func (st *Staged) Dir() *os.File { return st.dir }

// Close releases the directory and leaves it where it is.
func (st *Staged) Close() error {
	if st.dir == nil {
		return nil
	}
	return st.dir.Close()
}

// Remove removes the directory with all that the guest made in it, once nothing
// uses it any more. The file that was staged is not touched. Idempotent.
func (st *Staged) Remove() error {
	st.Close()
	parent, err := openBase(st.base)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	return removeDir(int(parent.Fd()), st.name)
}

// Sweep removes every staged directory in base, and nothing else. The sandbox
// that they belong to must have ended. A missing base has nothing to remove.
func Sweep(base string) error {
	parent, err := openBase(base)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer parent.Close()
	names, err := parent.Readdirnames(-1)
	for _, name := range names {
		if strings.HasPrefix(name, stagePrefix) {
			err = errors.Join(err, removeDir(int(parent.Fd()), name))
		}
	}
	return err
}
