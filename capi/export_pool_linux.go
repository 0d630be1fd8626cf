package main

// #include "shim.h"
import "C"

import (
	"time"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// pool is a pool as a handle's object: it has events, and no outcome.
type pool struct{ *core.Pool }

func (pool) Outcome() core.Outcome { return core.Outcome{} }

// findPool returns the object and pool of a live handle.
func findPool(h uint64) (*object, *core.Pool, error) {
	o, err := find(h)
	if err != nil {
		return nil, nil, err
	}
	p, ok := o.running.(pool)
	if !ok {
		return nil, nil, fault.New(fault.Handle, fault.StageArgument, "%#x is no pool's handle: one is needed", h)
	}
	return o, p.Pool, nil
}

//export msbgo_pool_create
func msbgo_pool_create(o *C.msb_pool_options, s *C.msb_sandbox_options, p *C.msbc_place, out *C.msb_handle, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	if err := startPoller(); err != nil {
		return fail(e, err)
	}
	sandbox, err := sandboxOptions(s, p)
	if err != nil {
		return fail(e, err)
	}
	made, err := core.NewPool(core.PoolOptions{
		Sandbox: sandbox, Size: number(o.pool_size), Idle: number(o.idle_size), Max: number(o.max_sandboxes),
		Boots: number(o.max_boots), IdleShrink: duration(o.idle_shrink_ms),
	})
	if err != nil {
		return fail(e, err)
	}
	if o.flags&C.MSB_CREATE_ASYNC == 0 {
		<-made.Ready()
		if err := made.StartErr(); err != nil {
			made.Close()
			awaitEnd(made.Done())
			return fail(e, err)
		}
	}
	h, _, err := register(kindPool, pool{made})
	if err != nil {
		return fail(e, err)
	}
	*out = C.msb_handle(h)
	return C.MSB_OK
}

// number converts a count, which core bounds.
func number(n C.uint32_t) int { return int(n) }

// awaitEnd waits for an end that is near; the bound is for a process that the kernel
// does not let die.
func awaitEnd(done <-chan struct{}) {
	select {
	case <-done:
	case <-time.After(callLimit):
	}
}

//export msbgo_pool_take
func msbgo_pool_take(h C.msb_handle, o *C.msb_take_options, out *C.msb_handle, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	object, pool, err := findPool(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	options, err := takeOptions(o)
	if err != nil {
		return fail(e, err)
	}
	sandbox, err := pool.Take(options)
	if err != nil {
		return fail(e, err)
	}
	if o.flags&C.MSB_CREATE_ASYNC == 0 {
		if err = object.await(sandbox.Ready(), -1); err == nil {
			err = sandbox.StartErr()
		}
		if err != nil {
			sandbox.Close()
			awaitEnd(sandbox.Done())
			return fail(e, err)
		}
	}
	handle, _, err := register(kindSandbox, sandbox)
	if err != nil {
		return fail(e, err)
	}
	*out = C.msb_handle(handle)
	return C.MSB_OK
}

func takeOptions(o *C.msb_take_options) (core.TakeOptions, error) {
	budget := maxLabelBytes
	labels, err := stringList("labels", o.labels, &budget)
	return core.TakeOptions{
		Name: text(o.name), Labels: labels, Timeout: duration(o.take_timeout_ms),
		IdleTimeout: duration(o.idle_timeout_ms), MaxDuration: duration(o.max_duration_ms),
		ReplaceGrace: duration(o.replace_grace_ms),
		Detached:     o.flags&C.MSB_CREATE_DETACHED != 0, Replace: o.flags&C.MSB_CREATE_REPLACE != 0,
	}, err
}

//export msbgo_pool_resize
func msbgo_pool_resize(h C.msb_handle, size C.uint32_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	_, pool, err := findPool(uint64(h))
	if err == nil {
		err = pool.Resize(number(size))
	}
	if err != nil {
		return fail(e, err)
	}
	return C.MSB_OK
}

//export msbgo_pool_info_get
func msbgo_pool_info_get(h C.msb_handle, out *C.msb_pool_info, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	_, pool, err := findPool(uint64(h))
	if err != nil {
		return fail(e, err)
	}
	i := pool.Info()
	*out = C.msb_pool_info{
		pool_size: C.uint32_t(i.Size), ready: C.uint32_t(i.Ready), booting: C.uint32_t(i.Booting),
		waiting: C.uint32_t(i.Waiting), living: C.uint32_t(i.Out), failed_in_row: C.uint32_t(i.InRow),
		taken: C.uint64_t(i.Taken), taken_at_once: C.uint64_t(i.AtOnce), booted: C.uint64_t(i.Booted),
		failed: C.uint64_t(i.Failed), lost: C.uint64_t(i.Lost),
	}
	if i.Shrunken {
		out.flags |= C.MSB_POOL_SHRUNKEN
	}
	if pool.StartErr() != nil {
		out.flags |= C.MSB_POOL_UNFILLED
	}
	if i.LastErr != nil {
		last := fault.From(i.LastErr)
		out.last_code, out.last_errno, out.last_stage = C.int32_t(last.Code), C.int32_t(last.Errno), C.uint32_t(last.Stage)
		putText(out.last_message[:], oneLine(last.Message))
	}
	return C.MSB_OK
}
