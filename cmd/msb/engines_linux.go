package main

import (
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor"
	"github.com/libmicrosandbox/microsandbox/core/engine/qemu"
	"github.com/libmicrosandbox/microsandbox/core/engine/qemu/jail"
)

func engineMain() {
	jail.Main()
	gvisor.Main()
}

// engines are those of this executable, the strongest first.
func engines() []engine.Engine { return []engine.Engine{qemu.New(), gvisor.New(), qemu.NewTCG()} }

// engineCommands are what a person types about them.
var engineCommands = map[string]func(args []string) int{"kernel": kernelCommand, "doctor": doctorCommand}
