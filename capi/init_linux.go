package main

// #include "host.h"
import "C"

import "syscall"

// The Go runtime has raised the host's soft limit of descriptors for itself.
// Setting it by package syscall also stops children from getting the value of
// load time instead of the present one.
func init() {
	startPoller() // while the limit is raised; its error comes out of the first call
	limit := syscall.Rlimit{Cur: uint64(C.msbc_nofile.rlim_cur), Max: uint64(C.msbc_nofile.rlim_max)}
	if limit.Max != 0 {
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	C.msbc_runtime_ready()
}
