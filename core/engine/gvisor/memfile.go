package gvisor

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memfile returns a sealed anonymous file with the given content, open for
// reading only: gVisor takes no other as a program.
func memfile(name string, data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if _, err := f.WriteAt(data, 0); err != nil {
		return nil, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		return nil, os.NewSyscallError("seal", err)
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}
