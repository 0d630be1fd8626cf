// msb-agent is the guest agent: the first process of a guest with a kernel of its own.
package main

import (
	"syscall"

	"github.com/libmicrosandbox/microsandbox/core/agent/guest/pid1"
)

func main() { syscall.Exit(pid1.Main()) }
