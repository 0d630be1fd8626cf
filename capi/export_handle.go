package main

// #include "shim.h"
import "C"

import (
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

//export msbgo_kill
func msbgo_kill(h C.msb_handle, signo C.int32_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findEnding(uint64(h))
	switch {
	case err != nil:
	case o.sandbox != nil && signo != 0 && signo != 9:
		err = fault.New(fault.Invalid, fault.StageArgument, "signal %d: a sandbox takes 0 or 9 (SIGKILL)", int32(signo))
	case o.sandbox != nil:
		err = o.sandbox.Kill()
	case signo < 1 || signo > 64:
		err = fault.New(fault.Invalid, fault.StageArgument, "signal %d: a program takes 1 to 64", int32(signo))
	default:
		err = o.process.Signal(int(signo))
	}
	if err != nil {
		return fail(e, err)
	}
	return C.MSB_OK
}

// ended fills in the outcome of a finished object; a start that failed is an error.
func ended(o *object, out *C.msb_outcome, e *C.msb_error) C.msb_result {
	putOutcome(out, o.Outcome())
	err := o.StartErr()
	if err == nil {
		return C.MSB_OK
	}
	out.cause = C.MSB_CAUSE_START_FAILED
	return fail(e, err)
}

//export msbgo_wait
func msbgo_wait(h C.msb_handle, timeout C.int64_t, out *C.msb_outcome, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findEnding(uint64(h))
	if err == nil {
		err = o.await(o.Done(), duration(timeout))
	}
	if err != nil {
		return fail(e, err)
	}
	return ended(o, out, e)
}

//export msbgo_try_wait
func msbgo_try_wait(h C.msb_handle, done *C.int32_t, out *C.msb_outcome, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findEnding(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	select {
	case <-o.Done():
		*done = 1
		return ended(o, out, e)
	default:
		return C.MSB_OK
	}
}

//export msbgo_fd
func msbgo_fd(h C.msb_handle, mask C.uint32_t, out *C.msb_os_fd, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := find(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	fd, err := o.notify(uint32(mask))
	if err != nil {
		return fail(e, err)
	}
	*out = C.msb_os_fd(fd)
	return C.MSB_OK
}

//export msbgo_cancel
func msbgo_cancel(h C.msb_handle, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := find(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	o.cancel()
	return C.MSB_OK
}

//export msbgo_close
func msbgo_close(h C.msb_handle) (result C.msb_result) {
	var e C.msb_error // msb_close has no error argument
	defer guard(&result, &e)
	if err := closeHandle(uint64(h)); err != nil {
		return fail(&e, err)
	}
	return C.MSB_OK
}
