package main

import (
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/job"
)

func engineMain() {}

// engines are those of this executable.
func engines() []engine.Engine { return []engine.Engine{job.New()} }

// engineCommands are what a person types about them: nothing is to be prepared.
var engineCommands map[string]func(args []string) int
