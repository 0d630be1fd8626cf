//go:build !amd64

package gvisor

// cpuAnnotation is for processors that are asked by instructions which may trap.
const cpuAnnotation = "microsandbox.cpuid"

func askCPU() string { return "" }
func useCPU(string)  {}
