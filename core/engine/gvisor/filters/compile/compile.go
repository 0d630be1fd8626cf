// Package compile compiles the system call filters of sentry and gofer.
package compile

import (
	"os"
	"slices"
	_ "unsafe" // for linkname

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/seccomp"
	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	"gvisor.dev/gvisor/pkg/sentry/platform"
	_ "gvisor.dev/gvisor/pkg/sentry/platform/systrap" // registers itself
	sentry "gvisor.dev/gvisor/runsc/boot/filter/config"
	gofer "gvisor.dev/gvisor/runsc/fsgofer/filter/config"

	"github.com/libmicrosandbox/microsandbox/core/engine/gvisor/filters"
)

// gVisor's rules with variables in place of values that only a running process
// knows. Its own precompiler is the only other user and has no filter for one
// set of options alone.
//
//go:linkname sentryRules gvisor.dev/gvisor/runsc/boot/filter/config.rules
func sentryRules(sentry.Options, precompiledseccomp.Values) (allow, deny seccomp.SyscallRules)

//go:linkname goferRules gvisor.dev/gvisor/runsc/fsgofer/filter/config.rules
func goferRules(gofer.Options, precompiledseccomp.Values) (allow, deny seccomp.SyscallRules)

// All compiles the filters for the options that the engine uses.
func All() (filters.Set, error) {
	var set filters.Set
	constructor, err := platform.Lookup("systrap")
	if err != nil {
		return set, err
	}
	for _, info := range constructor.PrecompiledSeccompInfo() {
		opt := sentry.Options{Platform: info, HostFilesystem: true}
		p, err := precompile(opt.ConfigKey(), opt.Vars(), func(v precompiledseccomp.Values) *seccomp.Program {
			return program(sentry.SeccompOptions(opt))(sentryRules(opt, v))
		})
		if err != nil {
			return set, err
		}
		set.Sentry = append(set.Sentry, p)
	}
	opt := gofer.Options{DirectFS: true}
	p, err := precompile(opt.ConfigKey(), opt.Vars(), func(v precompiledseccomp.Values) *seccomp.Program {
		return program(seccomp.ProgramOptions{})(goferRules(opt, v))
	})
	set.Gofer = append(set.Gofer, p)
	return set, err
}

func precompile(key string, vars precompiledseccomp.Values,
	f func(precompiledseccomp.Values) *seccomp.Program) (filters.Filter, error) {
	var names []string
	for name := range vars {
		names = append(names, name)
	}
	slices.Sort(names)
	p, err := precompiledseccomp.Precompile(key, names, f)
	if err != nil {
		return filters.Filter{}, err
	}
	pids := pidOffsets(p.Bytecode32, uint32(os.Getpid()))
	for _, at := range pids {
		p.Bytecode32[at] = 0
	}
	return filters.Filter{Program: p, PID: pids}, nil
}

// pidOffsets finds where the rule of systrap for rt_tgsigqueueinfo has the id
// of this process: the first argument is that id and the third is SIGKILL.
func pidOffsets(code []uint32, pid uint32) []int {
	const (
		load, equal = 0x20, 0x15 // codes of BPF instructions, in the low 16 bits
		arg0, arg2  = 16, 32     // offsets in struct seccomp_data
		high        = 4
	)
	pattern := []struct{ code, value uint32 }{
		{load, arg0}, {equal, pid}, {load, arg0 + high}, {equal, 0}, {load, arg2}, {equal, uint32(unix.SIGKILL)},
	}
	var found []int
next:
	for at := 0; at+2*len(pattern) <= len(code); at += 2 {
		for i, want := range pattern {
			if code[at+2*i]&0xffff != want.code || code[at+2*i+1] != want.value {
				continue next
			}
		}
		found = append(found, at+3)
	}
	return found
}

// program spells out the action that gVisor otherwise asks the kernel for: every
// kernel that is supported has it, and an emulated one need not be asked.
func program(options seccomp.ProgramOptions) func(allow, deny seccomp.SyscallRules) *seccomp.Program {
	options.DefaultAction = seccomp.KillProcess
	return func(allow, deny seccomp.SyscallRules) *seccomp.Program {
		return &seccomp.Program{
			RuleSets: []seccomp.RuleSet{{Rules: deny.Copy()}, {Rules: allow.Copy(), Action: seccomp.Allow}},
			Options:  options,
		}
	}
}
