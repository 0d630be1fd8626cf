package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
)

// version is the header's; set by the linker.
var version = "unknown"

func versionCommand() int {
	fmt.Println("msb", version)
	return 0
}

func listCommand(args []string) int {
	f := newFlags("ls")
	state := stateFlag(f)
	if f.Parse(args) != nil {
		return exitUsage
	}
	entries, err := core.List(state(), core.ListOptions{})
	if err != nil {
		return fail(err)
	}
	states := []string{"?", "starting", "running", "draining", "stopped"}
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATE\tENGINE\tPID\tAGE\tLIFE")
	for _, e := range entries {
		life := "detached"
		if e.Flags&core.FlagAttached != 0 {
			life = "attached"
		}
		engine := "auto"
		if core.Engine(e.Engine) == core.EngineGvisor {
			engine = "gvisor"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%v\t%s\n", e.Name, states[min(int(e.State), 4)], engine, e.Pid,
			time.Since(e.Created).Round(time.Second), life)
	}
	w.Flush()
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
	status := 0
	for _, name := range f.Args() {
		if err := killOne(name, state(), act); err != nil {
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

func killOne(name string, state core.State, act func(*core.Sandbox) error) error {
	sb, err := open(name, state)
	if err != nil {
		return err
	}
	defer sb.Close()
	return act(sb)
}
