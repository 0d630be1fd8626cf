package core

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/libmicrosandbox/microsandbox/core/fault"
	"github.com/libmicrosandbox/microsandbox/core/handle"
	"github.com/libmicrosandbox/microsandbox/core/terminal"
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
	StdioPty     = handle.StdioPty
	StdioLog     = handle.StdioLog
)

// TerminalSize is that of a program's terminal, in characters.
type TerminalSize = terminal.Size

// ProcessOptions describes a program. Strings are bytes of any encoding.
type ProcessOptions struct {
	Argv         []string
	Env          []string // NAME=VALUE, added to the default environment
	ClearEnv     bool     // no default environment
	Cwd          string   // absolute; "" = the root's work directory
	Stdio        [3]Stdio
	Window       TerminalSize // of the terminal, where Stdio is one; a zero is 24 rows, 80 columns
	StartTimeout time.Duration
	UID, GID     uint32   // of the sandbox; 0 = its root
	Groups       []uint32 // supplementary
	Umask        *uint32  // nil = 022
	Rlimits      []Rlimit // each resource once; what is not listed stays the sandbox's
	WallLimit    time.Duration
	OutputLimit  uint64 // bytes of stdout and stderr together; 0 = none
	Overlapped   bool   // Windows: our ends of pipes take overlapped I/O only
}

// Rlimit is a resource limit with Linux's numbers; math.MaxUint64 is none.
type Rlimit = handle.Rlimit

// Limits of lists of a program.
const (
	MaxGroups  = 1024
	MaxRlimits = 16
)

// MaxArguments bounds argv, environment and directory together, in bytes.
const MaxArguments = 1 << 20

// defaultTerm is what a program with a terminal sees besides.
const defaultTerm = "TERM=xterm"

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
	if o.Cwd != "" && !absoluteInside(o.Cwd) {
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
	if prog.Window, err = o.window(); err != nil {
		return prog, err
	}
	prog.Env = environment(o.Env, o.ClearEnv, o.Stdio[0].Kind == StdioPty)
	if prog.Timeout, err = timeout("start_timeout_ms", o.StartTimeout, DefaultStart); err != nil {
		return prog, err
	}
	return prog, o.identity(&prog)
}

// window checks that the streams are a terminal or have none, and completes its size.
func (o ProcessOptions) window() (TerminalSize, error) {
	terminals := 0
	for _, s := range o.Stdio {
		if s.Kind == StdioPty {
			terminals++
		}
	}
	size := o.Window
	switch {
	case terminals > 0 && o.OutputLimit > 0:
		return size, invalid("output_limit_bytes: what a program writes to its terminal goes straight to the caller and is not counted")
	case terminals == 0 && size != (TerminalSize{}):
		return size, invalid("rows and cols: only a program with a terminal has them: see MSB_STDIO_PTY")
	case terminals == 0:
		return size, nil
	case terminals < len(o.Stdio):
		return size, invalid("stdio: a program has one terminal for all of stdin, stdout and stderr, or none")
	}
	if size.Rows == 0 {
		size.Rows = terminal.DefaultSize.Rows
	}
	if size.Cols == 0 {
		size.Cols = terminal.DefaultSize.Cols
	}
	return size, size.Check()
}

// identity checks and takes user, groups, umask and limits.
func (o ProcessOptions) identity(prog *handle.Program) error {
	const noID = math.MaxUint32 // means "unchanged" to system calls
	switch {
	case o.UID == noID || o.GID == noID || slices.Contains(o.Groups, noID):
		return invalid("uid, gid and groups: %d is no id", uint32(noID))
	case len(o.Groups) > MaxGroups:
		return fault.New(fault.Limit, fault.StageArgument, "groups: %d, at most %d are allowed", len(o.Groups), MaxGroups)
	case o.Umask != nil && *o.Umask > 0o777:
		return invalid("umask %#o: at most 0777", *o.Umask)
	case len(o.Rlimits) > MaxRlimits:
		return invalid("rlimits: %d, at most %d are allowed", len(o.Rlimits), MaxRlimits)
	}
	seen := map[uint32]bool{}
	for _, l := range o.Rlimits {
		switch {
		case l.Resource >= MaxRlimits:
			return invalid("rlimits: resource %d is unknown", l.Resource)
		case seen[l.Resource]:
			return invalid("rlimits: resource %d is given twice", l.Resource)
		case l.Soft > l.Hard:
			return invalid("rlimits: resource %d: soft limit %d is above the hard limit %d", l.Resource, l.Soft, l.Hard)
		}
		seen[l.Resource] = true
	}
	prog.UID, prog.GID, prog.Groups = o.UID, o.GID, slices.Clone(o.Groups)
	prog.Umask, prog.Rlimits, prog.OutputLimit, prog.Overlapped = o.Umask, slices.Clone(o.Rlimits), o.OutputLimit, o.Overlapped
	var err error
	prog.WallLimit, err = timeout("wall_limit_ms", o.WallLimit, 0)
	return err
}

// environment joins the default and the given one; the last of a name wins.
func environment(given []string, clear, terminal bool) []string {
	var all []string
	if !clear {
		all = append(all, defaultEnv...)
		if terminal {
			all = append(all, defaultTerm)
		}
	}
	all = append(all, given...)
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
