package mounts

import (
	"errors"
	"io"
	"math"
	"os"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// copyTo copies the source's content, access rights and modification time into
// the directory dirfd. Holes are filled; extended attributes stay behind.
func (s *Source) copyTo(dirfd int, limit uint64) error {
	in, err := s.reopen(unix.O_RDONLY)
	if err != nil {
		return os.NewSyscallError("open", err)
	}
	defer in.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(in.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	limit = min(limit, math.MaxInt64-1)
	if uint64(st.Size) > limit {
		return tooLarge(limit)
	}
	fd, err := unix.Openat(dirfd, StagedName, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return os.NewSyscallError("create", err)
	}
	out := os.NewFile(uintptr(fd), StagedName)
	// One byte more than allowed shows a file that grows while it is read.
	n, err := io.Copy(out, io.LimitReader(in, int64(limit)+1))
	if err == nil && uint64(n) > limit {
		err = tooLarge(limit)
	}
	if err == nil {
		err = s.giveRights(out, &st)
	}
	return errors.Join(err, out.Close())
}

func tooLarge(limit uint64) error {
	return fault.New(fault.Limit, stage,
		"it cannot be linked, and is larger than the %d bytes that are copied: move it to the state directory's file system, or mount its directory", limit)
}

// giveRights gives the copy the original's owner, mode and time. Set-id bits
// are left off. Where the owner cannot be kept, the copy's owner, who is the
// caller, gets the rights that the caller has on the original.
func (s *Source) giveRights(out *os.File, st *unix.Stat_t) error {
	fd := int(out.Fd())
	mode := st.Mode & 0o777
	if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil {
		var now unix.Stat_t
		if err := unix.Fstat(fd, &now); err != nil {
			return os.NewSyscallError("fstat", err)
		}
		if now.Uid != st.Uid {
			mode = mode&0o077 | s.ownRights()
		}
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return os.NewSyscallError("chmod", err)
	}
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, st.Mtim}
	return os.NewSyscallError("utimensat", unix.UtimesNanoAt(unix.AT_FDCWD, fdPath(fd), times, 0))
}

// ownRights are the caller's rights on the source, as an owner's mode bits.
func (s *Source) ownRights() uint32 {
	var mode uint32
	for _, right := range []uint32{unix.R_OK, unix.W_OK, unix.X_OK} {
		if access(s.fd(), right) == nil {
			mode |= right << 6
		}
	}
	return mode
}
