//go:build !amd64

package sentry

var oldWaits []uintptr
