package main

import (
	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/sentry"
	"github.com/libmicrosandbox/microsandbox/core/engine/qemu/jail"
)

func engineMain() {
	jail.Main()
	sentry.Main()
}

// engineCommands are what a person types about them.
var engineCommands = map[string]func(args []string) int{"kernel": kernelCommand, "doctor": doctorCommand}
