package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
)

// names parses the options of a command that acts on sandboxes by name.
func names(f *flag.FlagSet, args []string) ([]string, bool) {
	if f.Parse(args) != nil {
		return nil, false
	}
	if f.NArg() == 0 {
		fmt.Fprintf(os.Stderr, "%s: needs the name of a sandbox: see msb help\n", f.Name())
		return nil, false
	}
	return f.Args(), true
}

func startCommand(args []string) int {
	f := newFlags("start")
	state := stateFlag(f)
	list, ok := names(f, args)
	if !ok {
		return exitUsage
	}
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	status := 0
	for _, name := range list {
		sb, err := core.StartStored(core.Options{Name: name, MsbPath: self, State: state(), Detached: true})
		if err == nil {
			<-sb.Ready()
			err = sb.StartErr()
			sb.Close()
		}
		if err != nil {
			status = fail(err)
		}
	}
	return status
}

func stopCommand(args []string) int {
	f := newFlags("stop")
	state := stateFlag(f)
	grace := f.Duration("grace", -1, "between TERM and KILL")
	list, ok := names(f, args)
	if !ok {
		return exitUsage
	}
	return each(list, state(), func(sb *core.Sandbox) error {
		if err := sb.Stop(*grace); err != nil {
			return err
		}
		<-sb.Done()
		return nil
	})
}

func drainCommand(args []string) int {
	f := newFlags("drain")
	state := stateFlag(f)
	deadline := f.Duration("deadline", -1, "for running programs")
	list, ok := names(f, args)
	if !ok {
		return exitUsage
	}
	return each(list, state(), func(sb *core.Sandbox) error { return flushed(sb, sb.Drain(*deadline)) })
}

func detachCommand(args []string) int {
	f := newFlags("detach")
	state := stateFlag(f)
	list, ok := names(f, args)
	if !ok {
		return exitUsage
	}
	return each(list, state(), func(sb *core.Sandbox) error {
		ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
		defer cancel()
		return sb.Detach(ctx)
	})
}

func waitCommand(args []string) int {
	f := newFlags("wait")
	state := stateFlag(f)
	list, ok := names(f, args)
	if !ok {
		return exitUsage
	}
	return each(list, state(), func(sb *core.Sandbox) error {
		<-sb.Done()
		return nil
	})
}

func removeCommand(args []string) int {
	f := newFlags("rm")
	state := stateFlag(f)
	force := f.Bool("f", false, "end it first")
	list, ok := names(f, args)
	if !ok {
		return exitUsage
	}
	return eachName(list, func(name string) error { return remove(name, state(), *force) })
}

func remove(name string, state core.State, force bool) error {
	if force {
		if err := core.Kill(name, state); err != nil && !errors.Is(err, &fault.Error{Code: fault.NotFound}) {
			return err
		}
	}
	err := core.Remove(name, state)
	if force && errors.Is(err, &fault.Error{Code: fault.NotFound}) {
		return nil // a temporary one is gone with its end
	}
	return err
}
