package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

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
	return eachName(f.Args(), func(name string) error { return act(name, state()) })
}

// eachName acts on names, and goes on after a failure.
func eachName(names []string, act func(name string) error) int {
	status := 0
	for _, name := range names {
		if err := act(name); err != nil {
			status = fail(err)
		}
	}
	return status
}

// each acts on sandboxes that answer.
func each(names []string, state core.State, act func(*core.Sandbox) error) int {
	return eachName(names, func(name string) error { return asked(act)(name, state) })
}

// asked opens a sandbox for act.
func asked(act func(*core.Sandbox) error) func(name string, state core.State) error {
	return func(name string, state core.State) error {
		sb, err := open(name, state)
		if err != nil {
			return err
		}
		defer sb.Close()
		return act(sb)
	}
}

// action is what a signal to a sandbox means.
func action(text string) (func(name string, state core.State) error, error) {
	number, err := strconv.Atoi(text)
	sig := syscall.Signal(number)
	if err != nil {
		sig = signalNumber(strings.TrimPrefix(strings.ToUpper(text), "SIG"))
	}
	switch sig {
	case syscall.SIGKILL:
		return core.Kill, nil
	case syscall.SIGTERM:
		return asked(func(sb *core.Sandbox) error { return flushed(sb, sb.Stop(-1)) }), nil
	case sigUSR1:
		return asked(func(sb *core.Sandbox) error { return flushed(sb, sb.Drain(-1)) }), nil
	}
	return nil, fmt.Errorf("signal %q", text)
}

// flushed waits until a request has reached the supervisor: we are about to exit.
func flushed(sb *core.Sandbox, err error) error {
	if err == nil {
		sb.Flush()
	}
	return err
}
