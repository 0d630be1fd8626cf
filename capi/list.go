package main

// #include "check.h"
import "C"

import (
	"unsafe"

	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// putList puts as many elements as there is room for into the caller's array, whose
// first element's size is that of each, and tells how many there are. text is where in
// an element its texts begin: they are cut off rather than left out when it is short.
func putList[E, T any](list []T, put func(*E, T), entries *E, text uintptr, capacity C.uint32_t, count *C.uint32_t, e *C.msb_error) C.msb_result {
	*count = C.uint32_t(len(list))
	for i := range min(len(list), int(capacity)) {
		var entry E
		put(&entry, list[i])
		size := *(*C.uint32_t)(unsafe.Pointer(entries))
		at := unsafe.Add(unsafe.Pointer(entries), uintptr(i)*uintptr(size))
		*(*C.uint32_t)(at) = size
		C.msbc_deliver(at, unsafe.Pointer(&entry), C.size_t(unsafe.Sizeof(entry)), C.size_t(text))
	}
	if len(list) > int(capacity) {
		return fail(e, fault.New(fault.Buffer, fault.NoStage, "%d sandboxes, capacity is %d", len(list), uint32(capacity)))
	}
	return C.MSB_OK
}
