//go:build !amd64

package gvisor

// askCPU is for processors that are asked by instructions which may trap.
func askCPU() string { return "" }
