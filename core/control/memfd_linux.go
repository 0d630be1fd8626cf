package control

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const allSeals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// SealedMemfd returns a close-on-exec memfd that holds data and that nobody can
// change any more. The bytes never touch a disk.
func SealedMemfd(name string, data []byte) (int, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, os.NewSyscallError("memfd_create", err)
	}
	for off := 0; off < len(data); {
		n, err := unix.Pwrite(fd, data[off:], int64(off))
		if err != nil && err != unix.EINTR {
			unix.Close(fd)
			return -1, os.NewSyscallError("write memfd", err)
		}
		off += max(n, 0)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, allSeals); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("seal memfd", err)
	}
	return fd, nil
}

// ReadSealed reads the size bytes of a memfd (negative: all that it has), which
// must be fully sealed: its sender could otherwise change or shrink it under us.
func ReadSealed(fd int, size int64) ([]byte, error) {
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil || seals&allSeals != allSeals {
		return nil, fmt.Errorf("descriptor %d is not a sealed memfd", fd)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, os.NewSyscallError("fstat", err)
	}
	if size < 0 {
		size = st.Size
	}
	if size > MaxMessage || size != st.Size {
		return nil, fmt.Errorf("sealed memfd of %d bytes, expected %d and at most %d", st.Size, size, MaxMessage)
	}
	data := make([]byte, size)
	for off := 0; off < len(data); {
		n, err := unix.Pread(fd, data[off:], int64(off))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, os.NewSyscallError("read memfd", err)
		case n == 0:
			return nil, fmt.Errorf("sealed memfd ends at %d of %d bytes", off, size)
		}
		off += max(n, 0)
	}
	return data, nil
}
