package main

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

// newFlags returns a flag set that prints its errors and the usage itself.
func newFlags(name string) *flag.FlagSet {
	f := flag.NewFlagSet("msb "+name, flag.ContinueOnError)
	f.Usage = func() { fmt.Fprintln(f.Output(), "see msb help") }
	return f
}

// stateFlag adds --state. The command line is a program like others: it reads
// the environment for the library.
func stateFlag(f *flag.FlagSet) func() core.State {
	dir := f.String("state", "", "state directory")
	return func() core.State {
		s := environment()
		s.Dir = *dir
		return s
	}
}

func environment() core.State {
	return core.State{MsbHome: os.Getenv("MSB_HOME"), XDGRuntimeDir: os.Getenv("XDG_RUNTIME_DIR"),
		XDGDataHome: os.Getenv("XDG_DATA_HOME"), Home: os.Getenv("HOME")}
}

// programFlags adds the options of a program.
func programFlags(f *flag.FlagSet) func(argv []string) core.ProcessOptions {
	var env listFlag
	f.Var(&env, "env", "NAME=VALUE")
	clear := f.Bool("clear-env", false, "no default environment")
	cwd := f.String("cwd", "", "working directory")
	log := f.Bool("log", false, "output goes to the log")
	var user userFlag
	f.Var(&user, "user", "UID[:GID]")
	var umask umaskFlag
	f.Var(&umask, "umask", "MODE")
	var limits ulimitFlag
	f.Var(&limits, "ulimit", "NAME=SOFT[:HARD]")
	timeout := f.Duration("timeout", 0, "wall limit")
	var output size
	f.Var(&output, "output-max", "bytes of output")
	onTerminal := f.Bool("t", false, "a terminal")
	f.BoolVar(onTerminal, "it", false, "-i -t")
	f.BoolVar(onTerminal, "ti", false, "-i -t")
	f.Bool("i", false, "pass standard input on, which is always done")
	return func(argv []string) core.ProcessOptions {
		inherit := core.Stdio{Kind: core.StdioInherit}
		out := inherit
		if *log {
			out.Kind = core.StdioLog
		}
		if *onTerminal {
			inherit.Kind, out.Kind = core.StdioPty, core.StdioPty
			if *log {
				out.Kind = core.StdioLog // refused: a terminal is all or nothing
			}
		}
		return core.ProcessOptions{
			Argv: argv, Env: env, ClearEnv: *clear, Cwd: *cwd,
			Stdio: [3]core.Stdio{inherit, out, out},
			UID:   user.uid, GID: user.gid, Umask: umask.mode, Rlimits: limits, WallLimit: *timeout,
			OutputLimit: uint64(output),
		}
	}
}

// engineFlag is the name of an engine.
type engineFlag struct{ engine *core.Engine }

func (e engineFlag) String() string { return "" }

func (e engineFlag) Set(text string) error {
	for _, engine := range []core.Engine{core.EngineAuto, core.EngineGvisor, core.EngineQEMU, core.EngineTCG, core.EngineJob} {
		if text == engine.String() || text == "auto" {
			*e.engine = engine
			return nil
		}
	}
	return fmt.Errorf("auto, gvisor, qemu, qemu-tcg or job")
}

// listFlag is an option that may be given again.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, " ") }

func (l *listFlag) Set(text string) error {
	*l = append(*l, text)
	return nil
}

// size is a number of bytes with an optional K, M, G or T, powers of 1024.
type size uint64

func (s *size) String() string { return strconv.FormatUint(uint64(*s), 10) }

func (s *size) Set(text string) error {
	digits := strings.TrimRight(text, "KMGTkmgt")
	shift := 0
	switch strings.ToUpper(text[len(digits):]) {
	case "":
	case "K":
		shift = 10
	case "M":
		shift = 20
	case "G":
		shift = 30
	case "T":
		shift = 40
	default:
		return fmt.Errorf("%q is not a size such as 512M", text)
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || n > math.MaxUint64>>shift {
		return fmt.Errorf("%q is not a size such as 512M", text)
	}
	*s = size(n << shift)
	return nil
}

// rootFlag is KIND[:PATH].
type rootFlag struct{ image.Root }

func (r *rootFlag) String() string { return r.Path }

func (r *rootFlag) Set(text string) error {
	kind, path, _ := strings.Cut(text, ":")
	kinds := map[string]image.Kind{"host": image.Host, "dir": image.Dir, "erofs": image.EROFS}
	number, ok := kinds[kind]
	if !ok {
		return fmt.Errorf("%q is not host, dir:PATH or erofs:PATH", text)
	}
	r.Root = image.Root{Kind: number, Path: path}
	return nil
}
