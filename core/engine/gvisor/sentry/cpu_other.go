//go:build !amd64

package sentry

func UseCPU(string) {}
