//go:build !amd64

package gvisor

var oldWaits []uintptr
