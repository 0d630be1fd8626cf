package main

import (
	"os"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// checkTerminal refuses -t: the engine of this platform gives programs no terminal.
func checkTerminal(o core.ProcessOptions, _ bool) error {
	if o.Stdio[0].Kind != core.StdioPty {
		return nil
	}
	return fault.New(fault.Unsupported, fault.StageArgument, "-t: terminals are not supported on this platform")
}

func followTerminal(*core.Sandbox, core.ProcessOptions, <-chan os.Signal) int { return exitUsage }
