//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/signal"
	goruntime "runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/engine"
	"github.com/libmicrosandbox/microsandbox/core/engine/qemu"
)

// doctorTime bounds each of the doctor's probe runs.
const doctorTime = 30 * time.Second

// doctorCommand tells a person which engines work here, and what the others lack. It
// fails when none does.
func doctorCommand(args []string) int {
	f := newFlags("doctor")
	state := stateFlag(f)
	kernelPath := f.String("kernel", "", "kernel of a microVM")
	if f.Parse(args) != nil || f.NArg() > 0 {
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	tell("host", hostLine())
	tell("user namespaces", namespaceLine())
	works := []string{}
	if err := doctorGvisor(ctx, state()); err != nil {
		tell("gvisor", "does not work: "+err.Error())
	} else {
		tell("gvisor", "works")
		works = append(works, "gvisor")
	}
	cfg := engine.Config{ID: doctorID(), KernelPath: *kernelPath, Kernels: state().Kernels()}
	for _, e := range []engine.Engine{qemu.New(), qemu.NewTCG()} {
		d, err := qemu.Diagnose(ctx, e, cfg)
		if e.Name() == qemu.New().Name() {
			tell("QEMU", orMissing(d.QEMU))
			tell("guest kernel", orMissing(d.Kernel))
		}
		if err != nil {
			tell(e.Name(), "does not work: "+err.Error())
			continue
		}
		tell(e.Name(), fmt.Sprintf("works: the guest answered after %v", d.Boot.Round(time.Millisecond)))
		works = append(works, e.Name())
	}
	if len(works) == 0 {
		tell("in short", "no engine works here")
		return exitFailed
	}
	tell("in short", "works: "+strings.Join(works, ", ")+"; docs/engines.md says what each can do")
	return 0
}

func tell(what, text string) { fmt.Printf("%-16s %s\n", what, text) }

func orMissing(text string) string {
	if text == "" {
		return "missing"
	}
	return text
}

func doctorID() string {
	var id [12]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

func hostLine() string {
	var u unix.Utsname
	unix.Uname(&u)
	return fmt.Sprintf("Linux %s, %s, %d processors, uid %d", unix.ByteSliceToString(u.Release[:]), goruntime.GOARCH, goruntime.NumCPU(), os.Geteuid())
}

// namespaceLine tells of the settings that decide over user namespaces: all engines
// need one.
func namespaceLine() string {
	var notes []string
	for _, s := range []struct{ name, bad string }{
		{"user.max_user_namespaces", "0"},
		{"kernel.unprivileged_userns_clone", "0"},
		{"kernel.apparmor_restrict_unprivileged_userns", "1"},
	} {
		data, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(s.name, ".", "/"))
		if err == nil && strings.TrimSpace(string(data)) == s.bad {
			notes = append(notes, s.name+" is "+s.bad)
		}
	}
	if len(notes) == 0 {
		return "no setting forbids them"
	}
	return "restricted: " + strings.Join(notes, ", ")
}

// doctorGvisor boots a sandbox and runs a program in it.
func doctorGvisor(ctx context.Context, state core.State) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	_, err = core.Probe(ctx, core.Options{MsbPath: self, State: state, Engine: core.EngineGvisor})
	return err
}
