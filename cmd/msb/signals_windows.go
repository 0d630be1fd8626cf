package main

import (
	"os"
	"syscall"
)

// shell is what runs when no command is given.
const shell = "cmd.exe"

// Numbers of Linux, by which the command line knows its verbs.
const (
	sigUSR1  = syscall.Signal(10)
	sigWINCH = syscall.Signal(28)
)

// passedOn are the events of the console that go on to the program.
var passedOn = []os.Signal{syscall.SIGINT, syscall.SIGTERM}

// signalNumber is the number of a name such as TERM, or 0.
func signalNumber(name string) syscall.Signal {
	return map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "USR1": sigUSR1}[name]
}
