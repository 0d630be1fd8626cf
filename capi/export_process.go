package main

// #include "shim.h"
import "C"

import (
	"syscall"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

//export msbgo_process_start
func msbgo_process_start(h C.msb_handle, opts *C.msb_process_options, out *C.msb_handle, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	sandbox, err := findSandbox(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	own, err := processOptions(opts)
	if err != nil {
		return fail(e, err)
	}
	process, err := sandbox.sandbox.Start(own)
	if err != nil {
		return fail(e, err)
	}
	if opts.flags&C.MSB_START_ASYNC == 0 {
		if err := started(sandbox, process); err != nil {
			return fail(e, err)
		}
	}
	handle, _, err := register(kindProcess, process)
	if err != nil {
		return fail(e, err)
	}
	*out = C.msb_handle(handle)
	return C.MSB_OK
}

// started waits until the program runs. On error the caller gets no handle, so
// a program that starts all the same is killed.
func started(sandbox *object, process *core.Process) error {
	err := sandbox.await(process.Ready(), -1)
	if err == nil {
		if err = process.StartErr(); err != nil {
			process.Close()
		}
		return err
	}
	fault.Go("abandoned start", func() {
		<-process.Ready()
		if process.StartErr() == nil {
			process.Signal(int(syscall.SIGKILL))
		}
		process.Close()
	})
	return err
}

//export msbgo_process_stdio
func msbgo_process_stdio(h C.msb_handle, which C.uint32_t, out *C.msb_os_fd, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findProcess(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	fd, err := o.process.Stdio(int(which))
	if err != nil {
		return fail(e, err)
	}
	*out = C.msb_os_fd(fd)
	return C.MSB_OK
}

//export msbgo_process_number
func msbgo_process_number(h C.msb_handle, out *C.uint64_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findProcess(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	*out = C.uint64_t(o.process.Number())
	return C.MSB_OK
}

//export msbgo_process_resize
func msbgo_process_resize(h C.msb_handle, rows, cols C.uint32_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	o, err := findProcess(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	if err := o.process.Resize(core.TerminalSize{Rows: uint32(rows), Cols: uint32(cols)}); err != nil {
		return fail(e, err)
	}
	return C.MSB_OK
}
