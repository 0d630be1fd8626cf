package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// shell is what runs when no command is given.
const shell = "/bin/sh"

const (
	sigUSR1  = syscall.SIGUSR1
	sigWINCH = syscall.SIGWINCH
)

// passedOn are the signals that go on to the program.
var passedOn = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGALRM,
}

// signalNumber is the number of a name such as TERM, or 0.
func signalNumber(name string) syscall.Signal { return unix.SignalNum("SIG" + name) }
