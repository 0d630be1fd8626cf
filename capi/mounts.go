package main

// #include <string.h>
// #include "shim.h"
// #include "check.h"
import "C"

import (
	"unsafe"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/mounts"
)

const (
	mountFlags = C.MSB_MOUNT_READONLY | C.MSB_MOUNT_NOEXEC | C.MSB_MOUNT_NOSUID | C.MSB_MOUNT_NODEV | C.MSB_MOUNT_QCOW2
	// maxMountPath is enough for core to see that a path is too long.
	maxMountPath = 4096
)

// mountList copies the caller's mounts. Elements grow as structs do: the caller
// says how large its own are.
func mountList(o *C.msb_sandbox_options) ([]mounts.Spec, error) {
	invalid := func(format string, args ...any) ([]mounts.Spec, error) {
		return nil, fault.New(fault.Invalid, fault.StageArgument, format, args...)
	}
	count, size := int(o.mounts_count), uintptr(o.mount_size)
	switch {
	case count == 0:
		return nil, nil
	case o.mounts == nil:
		return invalid("mounts is NULL and mounts_count %d", count)
	case count > mounts.MaxMounts:
		return nil, fault.New(fault.Limit, fault.StageArgument, "%d mounts, at most %d are allowed", count, mounts.MaxMounts)
	case size < C.sizeof_msb_mount || size%8 != 0 || size > C.MSBC_MAX_SIZE:
		return invalid("mount_size is %d: use sizeof(msb_mount)", size)
	}
	var own []mounts.Spec
	for i := range count {
		m := (*C.msb_mount)(unsafe.Add(unsafe.Pointer(o.mounts), uintptr(i)*size))
		for at := uintptr(C.sizeof_msb_mount); at < size; at++ {
			if *(*byte)(unsafe.Add(unsafe.Pointer(m), at)) != 0 {
				return nil, fault.New(fault.TooNew, fault.StageArgument,
					"mounts[%d]: byte %d belongs to a field of a later version: update the library", i, at)
			}
		}
		if m.flags&^mountFlags != 0 {
			return nil, fault.New(fault.TooNew, fault.StageArgument,
				"mounts[%d].flags: unknown bits %#x: update the library", i, uint32(m.flags&^mountFlags))
		}
		if m.reserved != 0 {
			return invalid("mounts[%d]: reserved is %d, must be 0", i, uint64(m.reserved))
		}
		own = append(own, mounts.Spec{
			Kind: mounts.Kind(m.kind), Source: pathText(m.source), Target: pathText(m.target),
			ReadOnly: m.flags&C.MSB_MOUNT_READONLY != 0, NoExec: m.flags&C.MSB_MOUNT_NOEXEC != 0,
			NoSUID: m.flags&C.MSB_MOUNT_NOSUID != 0, NoDev: m.flags&C.MSB_MOUNT_NODEV != 0,
			QCOW2:     m.flags&C.MSB_MOUNT_QCOW2 != 0,
			SizeBytes: uint64(m.size_bytes),
		})
	}
	return own, nil
}

// pathText copies a path, and no more of what is too long for one.
func pathText(s *C.char) string {
	if s == nil {
		return ""
	}
	return C.GoStringN(s, C.int(C.strnlen(s, maxMountPath)))
}
