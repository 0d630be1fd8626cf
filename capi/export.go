// The C ABI: shim.c holds the public functions of include/microsandbox.h, the
// export files the Go functions behind them, one each, and package core all
// that they do.
//
// A Go function is called with structs of full size and an error that is never
// nil. It checks pointers explicitly: a host may have replaced the handler that
// would turn a nil dereference into a panic. What panics all the same comes out
// as MSB_E_INTERNAL.
package main

// #cgo CFLAGS: -std=c99 -D_GNU_SOURCE -I${SRCDIR}/../include -fvisibility=hidden
// #cgo LDFLAGS: -Wl,--wrap=pthread_getattr_np
// #include "shim.h"
// #include "host.h"
import "C"

import (
	"fmt"
	"syscall"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// main is never called: the package is built as a shared library.
func main() {}

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

// guard, deferred, turns a panic into an error.
func guard(result *C.msb_result, e *C.msb_error) {
	if r := recover(); r != nil {
		*result = fail(e, fault.New(fault.Internal, fault.NoStage, "panic: %v", fmt.Sprint(r)))
	}
}

//export msbgo_set_log_fd
func msbgo_set_log_fd(fd C.msb_os_fd, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	err := startPoller()
	if err == nil {
		err = core.SetLog(int(fd))
	}
	if err != nil {
		return fail(e, err)
	}
	return C.MSB_OK
}
