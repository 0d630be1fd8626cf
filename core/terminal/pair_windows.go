package terminal

import "github.com/libmicrosandbox/microsandbox/core/fault"

// Open refuses: the engine of this platform gives programs no terminal.
func Open(Size) (master, slave int, err error) {
	return -1, -1, fault.New(fault.Unsupported, fault.StageStdio, "terminals are not supported on this platform")
}
