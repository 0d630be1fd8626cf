package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
)

// version is the header's; set by the linker.
var version = "unknown"

func versionCommand([]string) int {
	fmt.Println("msb", version)
	return 0
}

func killCommand(args []string) int {
	f := newFlags("kill")
	state := stateFlag(f)
	text := f.String("s", "KILL", "signal")
	if f.Parse(args) != nil {
		return exitUsage
	}
	act, err := action(*text)
	if err != nil || f.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "msb kill: needs names, and -s KILL, TERM or USR1: see msb help")
		return exitUsage
	}
	return each(f.Args(), state(), act)
}

// each acts on sandboxes by name, and goes on after a failure.
func each(names []string, state core.State, act func(*core.Sandbox) error) int {
	status := 0
	for _, name := range names {
		sb, err := open(name, state)
		if err == nil {
			err = act(sb)
			sb.Close()
		}
		if err != nil {
			status = fail(err)
		}
	}
	return status
}

// action is what a signal to a sandbox means.
func action(text string) (func(*core.Sandbox) error, error) {
	number, err := strconv.Atoi(text)
	sig := unix.Signal(number)
	if err != nil {
		sig = unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG"))
	}
	switch sig {
	case unix.SIGKILL:
		return kill, nil
	case unix.SIGTERM:
		return func(sb *core.Sandbox) error { return flushed(sb, sb.Stop(-1)) }, nil
	case unix.SIGUSR1:
		return func(sb *core.Sandbox) error { return flushed(sb, sb.Drain(-1)) }, nil
	}
	return nil, fmt.Errorf("signal %q", text)
}

func kill(sb *core.Sandbox) error {
	if err := sb.Kill(); err != nil {
		return err
	}
	<-sb.Done()
	return nil
}

// flushed waits until a request has reached the supervisor: we are about to exit.
func flushed(sb *core.Sandbox, err error) error {
	if err == nil {
		sb.Flush()
	}
	return err
}
