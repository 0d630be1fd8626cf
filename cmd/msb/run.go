package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
)

const openTimeout = 10 * time.Second

// sandboxFlags adds the options of a new sandbox.
func sandboxFlags(f *flag.FlagSet) func() (core.Options, error) {
	state := stateFlag(f)
	var o core.Options
	var root rootFlag
	var memory, overlay size
	var labels listFlag
	f.StringVar(&o.Name, "name", "", "name")
	f.Var(&root, "root", "KIND[:PATH]")
	f.Var(&memory, "memory", "limit")
	f.Var(&overlay, "overlay", "limit")
	f.BoolVar(&o.Detached, "detach", false, "go on in the background")
	f.BoolVar(&o.Stored, "store", false, "keep the configuration")
	f.BoolVar(&o.Replace, "replace", false, "end one that has the name")
	f.Var(&labels, "label", "NAME=VALUE")
	f.Var(engineFlag{&o.Engine}, "engine", "engine")
	f.StringVar(&o.KernelPath, "kernel", "", "kernel of a microVM")
	var mounted mountFlag
	f.Var(&mounted, "mount", "KIND:SOURCE:TARGET")
	f.DurationVar(&o.IdleTimeout, "idle", 0, "idle time")
	f.DurationVar(&o.MaxDuration, "max", 0, "longest life")
	var logMax size
	f.Var(&logMax, "log-max", "bytes of a log file")
	limits := limitFlags(f)
	sample := f.Duration("sample", core.DefaultSample, "interval of metrics")
	return func() (core.Options, error) {
		self, err := os.Executable()
		o.MsbPath, o.State, o.Root, o.Labels, o.Mounts = self, state(), root.Root, labels, mounted
		o.MemoryBytes, o.OverlayBytes, o.LogMaxBytes = uint64(memory), uint64(overlay), uint64(logMax)
		o.Limits = limits()
		if o.SampleEvery = *sample; o.SampleEvery == 0 {
			o.SampleEvery = -1
		}
		return o, err
	}
}

func runCommand(args []string) int {
	f := newFlags("run")
	options, program := sandboxFlags(f), programFlags(f)
	if f.Parse(args) != nil {
		return exitUsage
	}
	o, err := options()
	if err != nil {
		return fail(err)
	}
	argv := f.Args()
	if len(argv) == 0 && !o.Detached {
		argv = []string{shell}
	}
	if err := checkTerminal(program(argv), o.Detached); err != nil {
		return fail(err)
	}
	signals := watchSignals()
	sb, err := core.Create(o)
	if err != nil {
		return fail(err)
	}
	defer func() {
		sb.Close()
		<-sb.Done()
	}()
	if o.Detached {
		return runDetached(sb, program, argv)
	}
	return follow(sb, program(argv), signals)
}

// runDetached leaves a sandbox, and a program if one is given, behind.
func runDetached(sb *core.Sandbox, program func([]string) core.ProcessOptions, argv []string) int {
	<-sb.Ready()
	if err := sb.StartErr(); err != nil {
		return fail(err)
	}
	if len(argv) > 0 {
		o := program(argv)
		for i := range o.Stdio {
			if o.Stdio[i].Kind != core.StdioLog {
				o.Stdio[i] = core.Stdio{} // nobody will be there
			}
		}
		p, err := sb.Start(o)
		if err == nil {
			<-p.Ready()
			err = p.StartErr()
		}
		if err != nil {
			sb.Kill()
			return fail(err)
		}
	}
	fmt.Println(sb.Name())
	return 0
}

func execCommand(args []string) int {
	f := newFlags("exec")
	state, program := stateFlag(f), programFlags(f)
	if f.Parse(args) != nil {
		return exitUsage
	}
	rest := f.Args()
	if len(rest) > 1 && rest[1] == "--" {
		rest = append(rest[:1:1], rest[2:]...)
	}
	if len(rest) < 2 {
		fmt.Fprintln(os.Stderr, "msb exec: needs the name of a sandbox and a command: see msb help")
		return exitUsage
	}
	if err := checkTerminal(program(rest[1:]), false); err != nil {
		return fail(err)
	}
	signals := watchSignals()
	sb, err := open(rest[0], state())
	if err != nil {
		return fail(err)
	}
	defer sb.Close()
	return follow(sb, program(rest[1:]), signals)
}

func open(name string, state core.State) (*core.Sandbox, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	return core.Open(ctx, name, state)
}

// watchSignals takes the signals that are passed on to the program.
func watchSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, passedOn...)
	return signals
}

// signalPatience is how long a signal waits for a program that is starting. It is
// the program's if that comes up: it may be running already, and only the word of
// it be on the way. Else it ends msb.
const signalPatience = time.Second

// follow runs a program to its end and returns msb's exit status for it.
func follow(sb *core.Sandbox, o core.ProcessOptions, signals <-chan os.Signal) int {
	if o.Stdio[0].Kind == core.StdioPty {
		return followTerminal(sb, o, signals)
	}
	p, err := sb.Start(o)
	if err != nil {
		return fail(err)
	}
	defer p.Close()
	var early []syscall.Signal // in the order in which they came
	var enough <-chan time.Time
	for ready := p.Ready(); ; {
		select {
		case <-ready:
			ready, enough = nil, nil
			if err := p.StartErr(); err != nil {
				return fail(err)
			}
			for _, number := range early {
				p.Signal(int(number))
			}
		case sig := <-signals:
			number := sig.(syscall.Signal)
			if ready == nil {
				p.Signal(int(number)) // it may have ended: then Done says so
			} else if number != sigWINCH {
				if early = append(early, number); enough == nil {
					enough = time.After(signalPatience)
				}
			}
		case <-enough:
			return exitSignalFirst + int(early[0])
		case <-p.Done():
			if err := p.StartErr(); err != nil {
				return fail(err)
			}
			return exitStatus(sb, p.Outcome())
		}
	}
}

func exitStatus(sb *core.Sandbox, out core.Outcome) int {
	tellLimits(out)
	switch out.Cause {
	case handle.CauseExited:
		return int(out.ExitCode)
	case handle.CauseSignaled:
		return exitSignalFirst + int(out.Signal)
	case handle.CauseWallLimit:
		return exitTimeout
	case handle.CauseCPULimit, handle.CauseFileLimit, handle.CauseOutputLimit:
		return exitSignalFirst + int(out.Signal)
	case handle.CauseMemoryLimit, handle.CauseCPUTime:
	default:
		fmt.Fprintf(os.Stderr, "msb: sandbox %q ended under the program\n", sb.Name())
	}
	return exitFailed
}

// fail prints an error and returns the exit status for it.
func fail(err error) int {
	fmt.Fprintln(os.Stderr, "msb:", err)
	e := fault.From(err)
	switch {
	case e.Code == fault.Invalid:
		return exitUsage
	case e.Code == fault.Exec && errors.Is(err, syscall.ENOENT) && e.Stage == fault.StageExec:
		return exitNoSuchFile
	case e.Code == fault.Exec:
		return exitCannotExec
	}
	return exitFailed
}
