package qemu

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core/engine/idmap"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

const kvmPath = "/dev/kvm"

// kvmAPI is KVM_GET_API_VERSION, and the only answer that QEMU takes.
const (
	kvmGetAPIVersion = 0xae00
	kvmAPI           = 12
)

// kvmAccess tells whether this process may use KVM at all. That it may proves nothing:
// see proven.
func kvmAccess() error {
	f, err := os.OpenFile(kvmPath, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Unsupported, fault.StageEngine,
			"engine qemu: there is no %s: this host has no hardware virtualisation, or its module (kvm_intel, kvm_amd) is not loaded; "+
				"engine qemu-tcg needs none and is slow", kvmPath)
	case errors.Is(err, fs.ErrPermission):
		return fault.New(fault.Permission, fault.StageEngine,
			"engine qemu: uid %d may not open %s: add the user to its group (%s), log in again", os.Geteuid(), kvmPath, kvmGroup())
	case err != nil:
		return fault.Wrap(err, fault.Unsupported, fault.StageEngine, "engine qemu")
	}
	defer f.Close()
	if v, err := unix.IoctlRetInt(int(f.Fd()), kvmGetAPIVersion); err != nil || v != kvmAPI {
		return fault.New(fault.Unsupported, fault.StageEngine, "engine qemu: %s does not answer as KVM does", kvmPath)
	}
	return nil
}

func kvmGroup() string {
	var st unix.Stat_t
	if unix.Stat(kvmPath, &st) != nil {
		return "kvm"
	}
	if st.Mode&0o060 != 0o060 {
		return fmt.Sprintf("gid %d, which may not use it either: chgrp kvm and chmod 660", st.Gid)
	}
	return fmt.Sprintf("gid %d, often called kvm", st.Gid)
}

// kvmDevice makes a device node of QEMU's own where QEMU runs as another user than the
// one who may open /dev/kvm: in memory, seen by nobody else. nil: the host's will do.
func kvmDevice(ids idmap.Map) (*os.File, error) {
	if ids.UID == uint64(os.Geteuid()) {
		return nil, nil
	}
	var st unix.Stat_t
	if err := unix.Stat(kvmPath, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: kvmPath, Err: err}
	}
	fsfd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fsfd)
	if err := unix.FsconfigSetString(fsfd, "size", "4k"); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	dir, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	defer unix.Close(dir)
	if err := unix.Mknodat(dir, "kvm", unix.S_IFCHR|0o600, int(st.Rdev)); err != nil {
		return nil, os.NewSyscallError("mknod", err)
	}
	if err := unix.Fchownat(dir, "kvm", int(ids.UID), int(ids.GID), 0); err != nil {
		return nil, os.NewSyscallError("chown", err)
	}
	fd, err := unix.Openat(dir, "kvm", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open", err)
	}
	return os.NewFile(uintptr(fd), kvmPath), nil
}
