//go:build !amd64

package qemu

func tscKHz() uint64 { return 0 }
