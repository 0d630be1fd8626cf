package main

// #include "shim.h"
import "C"

import "github.com/libmicrosandbox/microsandbox/core/fault"

// The engine of Windows boots nothing that could be kept warm, and a directory in use
// cannot be renamed, which is how a pool's sandbox gets its name. The functions are
// there, so that a program that knows pools loads and can do without.

//export msbgo_pool_create
func msbgo_pool_create(o *C.msb_pool_options, s *C.msb_sandbox_options, p *C.msbc_place, out *C.msb_handle, e *C.msb_error) C.msb_result {
	return fail(e, fault.New(fault.Unsupported, fault.StageArgument,
		"pools are not there on Windows: the engine job boots nothing; create each sandbox when it is needed"))
}

// noPool is the error of a handle where a pool's is needed: there are none.
func noPool(h C.msb_handle, e *C.msb_error) C.msb_result {
	_, err := find(uint64(h))
	if err == nil {
		err = fault.New(fault.Handle, fault.StageArgument, "%#x is no pool's handle: one is needed", uint64(h))
	}
	return fail(e, err)
}

//export msbgo_pool_take
func msbgo_pool_take(h C.msb_handle, o *C.msb_take_options, out *C.msb_handle, e *C.msb_error) C.msb_result {
	return noPool(h, e)
}

//export msbgo_pool_resize
func msbgo_pool_resize(h C.msb_handle, size C.uint32_t, e *C.msb_error) C.msb_result {
	return noPool(h, e)
}

//export msbgo_pool_info_get
func msbgo_pool_info_get(h C.msb_handle, out *C.msb_pool_info, e *C.msb_error) C.msb_result {
	return noPool(h, e)
}
