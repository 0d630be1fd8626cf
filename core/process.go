package core

import (
	"strings"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
)

// Process is a handle on a program. Safe for concurrent use.
type Process = handle.Process

// Stdio is one standard stream: a kind and, for StdioFD, a descriptor.
type Stdio = handle.Stdio

// The kinds of stdio.
const (
	StdioNull    = handle.StdioNull
	StdioPipe    = handle.StdioPipe
	StdioFD      = handle.StdioFD
	StdioInherit = handle.StdioInherit
	StdioLog     = handle.StdioLog
)

// ProcessOptions describes a program. Strings are bytes of any encoding.
type ProcessOptions struct {
	Argv         []string
	Env          []string // NAME=VALUE, added to the default environment
	ClearEnv     bool     // no default environment
	Cwd          string   // absolute; "" = the root's work directory
	Stdio        [3]Stdio
	StartTimeout time.Duration
}

// MaxArguments bounds argv, environment and directory together, in bytes.
const MaxArguments = 1 << 20

// defaultEnv is what a program sees unless it is cleared or overridden.
var defaultEnv = []string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"LANG=C.UTF-8",
}

// Start starts a program and returns at once with a handle in state starting.
func (s *Sandbox) Start(o ProcessOptions) (*Process, error) {
	prog, err := o.program()
	if err != nil {
		return nil, err
	}
	return s.Sandbox.Start(prog)
}

func (o ProcessOptions) program() (handle.Program, error) {
	prog := handle.Program{Argv: o.Argv, Cwd: o.Cwd, Stdio: o.Stdio}
	if len(o.Argv) == 0 || o.Argv[0] == "" {
		return prog, invalid("argv: needs a program name")
	}
	if o.Cwd != "" && !strings.HasPrefix(o.Cwd, "/") {
		return prog, invalid("cwd %q: must be an absolute path in the sandbox", o.Cwd)
	}
	size := len(o.Cwd)
	for _, list := range [][]string{o.Argv, o.Env} {
		for _, s := range list {
			size += len(s) + 1
			if strings.ContainsRune(s, 0) {
				return prog, invalid("argv and env must not contain NUL bytes: %q", s)
			}
		}
	}
	if size > MaxArguments {
		return prog, fault.New(fault.Limit, fault.StageArgument, "argv, env and cwd are %d bytes, at most %d are allowed", size, MaxArguments)
	}
	for _, e := range o.Env {
		if strings.IndexByte(e, '=') < 1 {
			return prog, invalid("env %q: must be NAME=VALUE", e)
		}
	}
	var err error
	prog.Env = environment(o.Env, o.ClearEnv)
	prog.Timeout, err = timeout("start_timeout_ms", o.StartTimeout, DefaultStart)
	return prog, err
}

// environment joins the default and the given one; the last of a name wins.
func environment(given []string, clear bool) []string {
	all := given
	if !clear {
		all = append(append([]string(nil), defaultEnv...), given...)
	}
	last := make(map[string]int, len(all))
	for i, e := range all {
		name, _, _ := strings.Cut(e, "=")
		last[name] = i
	}
	out := make([]string, 0, len(last))
	for i, e := range all {
		if name, _, _ := strings.Cut(e, "="); last[name] == i {
			out = append(out, e)
		}
	}
	return out
}
