package main

import "syscall"

// fork makes a child with copies of all our descriptors, close-on-exec ones too.
// Only raw system calls work in it.
func fork() int64 {
	pid, _, errno := syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
	if errno != 0 {
		check(errno)
	}
	for pid == 0 {
		syscall.RawSyscall(syscall.SYS_PPOLL, 0, 0, 0) // until it is killed
	}
	return int64(pid)
}
