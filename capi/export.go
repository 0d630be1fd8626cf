// The C ABI: shim.c holds the public functions of include/microsandbox.h, the
// export files the Go functions behind them, one each, and package core all
// that they do.
//
// A Go function is called with structs of full size and an error that is never
// nil. It checks pointers explicitly: a host may have replaced the handler that
// would turn a nil dereference into a panic. What panics all the same comes out
// as MSB_E_INTERNAL.
package main

// #cgo CFLAGS: -std=c99 -D_GNU_SOURCE -I${SRCDIR}/../include
// #cgo linux CFLAGS: -fvisibility=hidden
// #cgo linux LDFLAGS: -Wl,--wrap=pthread_getattr_np
// #cgo windows CFLAGS: -DMSB_BUILDING
// #include "shim.h"
// #include "host.h"
import "C"

import (
	"fmt"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// main is never called: the package is built as a shared library.
func main() {}

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
