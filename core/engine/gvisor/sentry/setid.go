package sentry

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// setIDs are the bits of a mode that lend the owner's rights to whoever executes
// a file.
const setIDs = unix.S_ISUID | unix.S_ISGID

// Offsets in the kernel's struct seccomp_data, in bytes.
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16 // 8 bytes each
)

// refuseSetIDs makes the kernel refuse, for this process and all that it starts,
// to give a file a set-user-id or set-group-id bit. In a writable mount the guest's
// root is the owner's user on the disk: a program that it leaves there would lend
// every user of the host that user's rights. gVisor's filters allow any mode; a
// second filter is joined to them, and the strictest counts.
func refuseSetIDs() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	program := setIDFilter()
	filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		os.Exit(128)
	}
	// Of all threads: Go has some by now.
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&filter)))
	if errno != 0 {
		os.Exit(128)
	}
}

// setIDFilter returns the filter. Another architecture's calls are for gVisor's
// filter to refuse.
func setIDFilter() []unix.SockFilter {
	arg := func(n uint32) uint32 { return dataArgs + 8*n } // the lower half: modes and flags are ints
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		anyBit = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		jump   = unix.BPF_JMP | unix.BPF_JA
		end    = unix.BPF_RET | unix.BPF_K
	)
	const (
		allow  = 16
		refuse = 17
		test   = 15
		made   = unix.O_CREAT | unix.O_TMPFILE&^unix.O_DIRECTORY // openat: only then the mode counts
	)
	return []unix.SockFilter{
		0:      {Code: load, K: dataArch},
		1:      {Code: equal, Jf: allow - 2, K: nativeArch[runtime.GOARCH]},
		2:      {Code: load, K: dataNumber},
		3:      {Code: equal, Jt: 12 - 4, K: unix.SYS_FCHMOD},
		4:      {Code: equal, Jt: 14 - 5, K: unix.SYS_FCHMODAT},
		5:      {Code: equal, Jt: 14 - 6, K: unix.SYS_FCHMODAT2},
		6:      {Code: equal, Jt: 14 - 7, K: unix.SYS_MKNODAT},
		7:      {Code: equal, Jf: allow - 8, K: unix.SYS_OPENAT},
		8:      {Code: load, K: arg(2)},
		9:      {Code: anyBit, Jf: allow - 10, K: made},
		10:     {Code: load, K: arg(3)},
		11:     {Code: jump, K: test - 12},
		12:     {Code: load, K: arg(1)},
		13:     {Code: jump, K: test - 14},
		14:     {Code: load, K: arg(2)},
		test:   {Code: anyBit, Jt: refuse - 16, K: setIDs},
		allow:  {Code: end, K: unix.SECCOMP_RET_ALLOW},
		refuse: {Code: end, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
	}
}

// nativeArch is AUDIT_ARCH_* of this binary's system calls.
var nativeArch = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}
