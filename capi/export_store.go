package main

// #include "shim.h"
// #include "check.h"
import "C"

import (
	"strings"
	"unsafe"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

//export msbgo_sandbox_start
func msbgo_sandbox_start(o *C.msb_sandbox_options, p *C.msbc_place, out *C.msb_handle, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	if err := startPoller(); err != nil {
		return fail(e, err)
	}
	options, err := sandboxOptions(o, p)
	if err == nil {
		err = onlyStartOptions(options)
	}
	if err != nil {
		return fail(e, err)
	}
	sandbox, err := core.StartStored(options)
	if err != nil {
		return fail(e, err)
	}
	return begun(sandbox, o, out, e)
}

// onlyStartOptions refuses what a stored configuration decides: ignoring it
// would start something else than was asked for.
func onlyStartOptions(o core.Options) error {
	if o.Engine != 0 || o.Root != (image.Root{}) || o.MemoryBytes != 0 || o.OverlayBytes != 0 || o.StopGrace != 0 ||
		o.ReplaceGrace != 0 || o.IdleTimeout != 0 || o.MaxDuration != 0 || o.SampleEvery != 0 || o.LogMaxBytes != 0 || o.KernelPath != "" || o.Limits != (core.Limits{}) || len(o.Labels) > 0 || len(o.Mounts) > 0 || o.Stored || o.Replace {
		return fault.New(fault.Invalid, fault.StageArgument,
			"start of a stored sandbox: only name, msb_path, state_dir, start_timeout_ms and the flags ASYNC and DETACHED can be set")
	}
	return nil
}

//export msbgo_sandbox_remove
func msbgo_sandbox_remove(name *C.char, p *C.msbc_place, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	if err := startPoller(); err != nil {
		return fail(e, err)
	}
	if err := core.Remove(C.GoString(name), place(p)); err != nil {
		return fail(e, err)
	}
	return C.MSB_OK
}

//export msbgo_sandbox_list
func msbgo_sandbox_list(o *C.msb_list_options, p *C.msbc_place, entries *C.msb_sandbox_entry, capacity C.uint32_t, count *C.uint32_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	budget := maxLabelBytes
	labels, err := stringList("labels", o.labels, &budget)
	if err != nil {
		return fail(e, err)
	}
	if err := startPoller(); err != nil {
		return fail(e, err)
	}
	list, err := core.List(place(p), core.ListOptions{Labels: labels, Stopped: o.flags&C.MSB_LIST_STOPPED != 0, Pooled: o.flags&C.MSB_LIST_POOLED != 0})
	if err != nil {
		return fail(e, err)
	}
	return putList(list, putEntry, entries, unsafe.Offsetof(entries.name), capacity, count, e)
}

//export msbgo_audit
func msbgo_audit(p *C.msbc_place, buffer *C.char, capacity C.uint32_t, length, orphans *C.uint32_t, e *C.msb_error) (result C.msb_result) {
	defer guard(&result, e)
	if err := startPoller(); err != nil {
		return fail(e, err)
	}
	findings, err := core.Audit(place(p))
	if err != nil {
		return fail(e, err)
	}
	lines := make([]string, len(findings))
	lost := 0
	for i, f := range findings {
		lines[i] = oneLine(f.Kind + ": " + f.Detail)
		if f.Orphan {
			lost++
		}
	}
	if orphans != nil {
		*orphans = C.uint32_t(lost)
	}
	return putString(strings.Join(lines, "\n"), buffer, capacity, length, e)
}

// putString copies s and a NUL into the caller's buffer, or tells what it needs.
func putString(s string, buffer *C.char, capacity C.uint32_t, length *C.uint32_t, e *C.msb_error) C.msb_result {
	if length != nil {
		*length = C.uint32_t(len(s))
	}
	if len(s) >= int(capacity) {
		return fail(e, fault.New(fault.Buffer, fault.NoStage, "%d bytes with the NUL are needed, capacity is %d", len(s)+1, uint32(capacity)))
	}
	putText(unsafe.Slice(buffer, len(s)+1), s)
	return C.MSB_OK
}
