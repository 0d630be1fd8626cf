package main

// #include "shim.h"
import "C"

import (
	"context"
	"time"

	"github.com/libmicrosandbox/microsandbox/core"
)

//export msbgo_sandbox_create
func msbgo_sandbox_create(o *C.msb_sandbox_options, p *C.msbc_place, out *C.msb_handle, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	if err := startPoller(); err != nil {
		return fail(e, err)
	}
	options, err := sandboxOptions(o, p)
	if err != nil {
		return fail(e, err)
	}
	sandbox, err := core.Create(options)
	if err != nil {
		return fail(e, err)
	}
	return begun(sandbox, o, out, e)
}

// begun waits for the start unless the caller does not want to, and makes a handle.
func begun(sandbox *core.Sandbox, o *C.msb_sandbox_options, out *C.msb_handle, e *C.msb_error) C.msb_result {
	if o.flags&C.MSB_CREATE_ASYNC == 0 {
		<-sandbox.Ready()
		if err := sandbox.StartErr(); err != nil {
			sandbox.Close()
			// Done is near; the bound is for a process that the kernel does not let die.
			select {
			case <-sandbox.Done():
			case <-time.After(callLimit):
			}
			return fail(e, err)
		}
	}
	h, _, err := register(kindSandbox, sandbox)
	if err != nil {
		return fail(e, err)
	}
	*out = C.msb_handle(h)
	return C.MSB_OK
}

//export msbgo_probe
func msbgo_probe(o *C.msb_sandbox_options, p *C.msbc_place, out *C.msb_sandbox_info, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	if err := startPoller(); err != nil {
		return fail(e, err)
	}
	options, err := sandboxOptions(o, p)
	if err != nil {
		return fail(e, err)
	}
	info, err := core.Probe(context.Background(), options)
	if err != nil {
		return fail(e, err)
	}
	putInfo(out, info)
	return C.MSB_OK
}

//export msbgo_sandbox_open
func msbgo_sandbox_open(name *C.char, p *C.msbc_place, out *C.msb_handle, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	if err := startPoller(); err != nil {
		return fail(e, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	sandbox, err := core.Open(ctx, C.GoString(name), place(p))
	if err != nil {
		return fail(e, err)
	}
	h, _, err := register(kindSandbox, sandbox)
	if err != nil {
		return fail(e, err)
	}
	*out = C.msb_handle(h)
	return C.MSB_OK
}

//export msbgo_sandbox_pid
func msbgo_sandbox_pid(h C.msb_handle, out *C.int32_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findSandbox(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	*out = C.int32_t(o.sandbox.Pid())
	return C.MSB_OK
}

//export msbgo_sandbox_name
func msbgo_sandbox_name(h C.msb_handle, buffer *C.char, capacity C.uint32_t, length *C.uint32_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findSandbox(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	return putString(o.sandbox.Name(), buffer, capacity, length, e)
}

//export msbgo_sandbox_info_get
func msbgo_sandbox_info_get(h C.msb_handle, out *C.msb_sandbox_info, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findSandbox(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	var info core.Info
	err = o.ask(callLimit, func(ctx context.Context) (err error) {
		info, err = o.sandbox.Info(ctx)
		return err
	})
	if err != nil {
		return fail(e, err)
	}
	putInfo(out, info)
	return C.MSB_OK
}

//export msbgo_sandbox_drain
func msbgo_sandbox_drain(h C.msb_handle, deadline C.int64_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findSandbox(uint64(h))
	if err == nil {
		err = o.sandbox.Drain(duration(deadline))
	}
	if err != nil {
		return fail(e, err)
	}
	return C.MSB_OK
}

//export msbgo_sandbox_stop
func msbgo_sandbox_stop(h C.msb_handle, grace C.int64_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findSandbox(uint64(h))
	if err == nil {
		err = o.sandbox.Stop(duration(grace))
	}
	if err != nil {
		return fail(e, err)
	}
	return C.MSB_OK
}

//export msbgo_sandbox_disarm
func msbgo_sandbox_disarm(h C.msb_handle, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findSandbox(uint64(h))
	if err == nil {
		err = o.ask(callLimit, o.sandbox.Disarm)
	}
	if err != nil {
		return fail(e, err)
	}
	return C.MSB_OK
}
