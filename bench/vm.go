package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/libmicrosandbox/microsandbox/core"
	"github.com/libmicrosandbox/microsandbox/core/image"
)

const (
	vmBinary = "/usr/bin/qemu-system-x86_64"
	vmMemory = 256 << 20
	// goalVMFirstOutput is beside a bare QEMU that boots the same kernel.
	goalVMFirstOutput = 0.85
	// vmKills is how many sandboxes are killed in a full run.
	vmKills = 100
)

// vm measures microVMs under software emulation. Without QEMU or a guest kernel there
// is nothing to measure.
func (m *measurement) vm(ctx context.Context) ([]figure, error) {
	for _, path := range []string{vmBinary, m.product("kernels", "default"), m.product("bench", "vmlinuz")} {
		if _, err := os.Stat(path); err != nil {
			m.note("vm: not measured: %v (run make test-kernel bench-kernel, as root once for the package qemu-system-x86)", err)
			return nil, nil
		}
	}
	scratch, err := os.MkdirTemp("", "msb-bench-vm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	bare, err := newBareVM(m.settings, scratch)
	if err != nil {
		return nil, err
	}
	first := figure{name: "vm_cold_create_to_first_output", unit: "ms", peerName: "bare qemu-system-x86_64", goal: goalVMFirstOutput}
	var ours, theirs []float64
	for range m.runs + 1 {
		if theirs, err = bare.firstOutput(ctx, m.runs/2, theirs); err != nil {
			return nil, err
		}
		own, err := m.vmFirstOutput(scratch)
		if err != nil {
			return nil, err
		}
		ours = append(ours, own)
	}
	ours = ours[1:] // the first fills the page cache
	if len(theirs) > 0 {
		first.ours, first.peer = compare(ours, theirs, milliseconds)
	} else {
		first = figure{name: first.name, unit: first.unit}
		first.ours, _ = compare(ours, ours, milliseconds)
	}
	m.note("vm: the bare machine hung in %d of %d boots (nothing within %v); these are not in its figures.", bare.hangs, bare.boots, vmHang)
	standing, err := m.vmStanding(scratch)
	if err != nil {
		return nil, err
	}
	killed, err := m.vmKilled(scratch)
	return append(append([]figure{first}, standing...), killed), err
}

// vmCreate creates a microVM and waits until it is ready.
func (m *measurement) vmCreate(scratch string) (*core.Sandbox, error) {
	sb, err := core.Create(core.Options{
		MsbPath: m.product("bin", "msb"), State: core.State{Dir: filepath.Join(scratch, "state")}, Engine: core.EngineTCG,
		KernelPath: m.product("kernels", "default"), Root: image.Root{Kind: image.EROFS, Path: m.roots.erofs},
		MemoryBytes: vmMemory, StopGrace: -1, StartTimeout: 2 * time.Minute,
	})
	if err != nil {
		return nil, err
	}
	<-sb.Ready()
	if err := sb.StartErr(); err != nil {
		vmEnd(sb)
		return nil, err
	}
	return sb, nil
}

func vmEnd(sb *core.Sandbox) {
	sb.Close()
	<-sb.Done()
}

// vmRun starts a program and copies its output; it returns once the program has ended.
func vmRun(sb *core.Sandbox, out io.Writer, argv ...string) error {
	p, err := sb.Start(core.ProcessOptions{Argv: argv, Stdio: [3]core.Stdio{{}, {Kind: core.StdioPipe}, {}}})
	if err != nil {
		return err
	}
	defer p.Close()
	fd, err := p.Stdio(1)
	if err != nil {
		return err
	}
	r := os.NewFile(uintptr(fd), "stdout")
	defer r.Close()
	if _, err := io.Copy(out, r); err != nil {
		return err
	}
	<-p.Done()
	return p.StartErr()
}

// firstByte notes when something was written to it first.
type firstByte struct{ at time.Time }

func (f *firstByte) Write(p []byte) (int, error) {
	if f.at.IsZero() {
		f.at = time.Now()
	}
	return len(p), nil
}

func (m *measurement) vmFirstOutput(scratch string) (float64, error) {
	begin := time.Now()
	sb, err := m.vmCreate(scratch)
	if err != nil {
		return 0, err
	}
	defer vmEnd(sb)
	var first firstByte
	if err := vmRun(sb, &first, "/bin/echo", "hi"); err != nil {
		return 0, err
	}
	return float64(first.at.Sub(begin)), nil
}

// vmStanding measures in one machine: memory while idle, programs, a stream.
func (m *measurement) vmStanding(scratch string) ([]figure, error) {
	sb, err := m.vmCreate(scratch)
	if err != nil {
		return nil, err
	}
	defer vmEnd(sb)
	pids, err := descendants(int(sb.Pid()))
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // what the guest does after its boot is over by then
	_, pss, err := memory(pids)
	if err != nil {
		return nil, err
	}
	var times []float64
	for i := range 10*m.runs + 1 {
		begin := time.Now()
		if err := vmRun(sb, io.Discard, "/bin/echo", "hi"); err != nil {
			return nil, err
		}
		if i > 0 { // the first is translated code's
			times = append(times, milliseconds(float64(time.Since(begin))))
		}
	}
	tail := slices.Sorted(slices.Values(times))
	stdout, err := m.vmOut(sb)
	if err != nil {
		return nil, err
	}
	stdin, err := m.vmIn(sb)
	if err != nil {
		return nil, err
	}
	return []figure{
		{name: "vm_exec_to_exit", unit: "ms", ours: summarise(times)},
		{name: "vm_exec_to_exit_p99", unit: "ms", ours: summarise([]float64{quantile(tail, 0.99)})},
		{name: "vm_stdout", unit: "MB/s", ours: summarise([]float64{stdout})},
		{name: "vm_stdin", unit: "MB/s", ours: summarise([]float64{stdin})},
		{name: "vm_idle_pss_256m", unit: "MB", ours: summarise([]float64{pss / 1e6})},
	}, nil
}

// vmKilled kills sandboxes and looks for what they left: nothing must be.
func (m *measurement) vmKilled(scratch string) (figure, error) {
	f := figure{name: "vm_kill_to_nothing_left", unit: "ms"}
	count := m.runs
	if m.runs >= fullRun {
		count = vmKills
	}
	var times []float64
	for range count {
		sb, err := m.vmCreate(scratch)
		if err != nil {
			return f, err
		}
		pids, err := descendants(int(sb.Pid()))
		if err != nil {
			vmEnd(sb)
			return f, err
		}
		begin := time.Now()
		err = sb.Kill()
		<-sb.Done()
		times = append(times, milliseconds(float64(time.Since(begin))))
		sb.Close()
		if err != nil {
			return f, err
		}
		for _, pid := range pids {
			if fields, err := stat(pid); err == nil && fields[0] != "Z" { // its end may still be untold
				m.fails("vm: process %d lives on after a kill", pid)
			}
		}
		if left, _ := os.ReadDir(filepath.Join(scratch, "state", "sandboxes")); len(left) > 0 {
			m.fails("vm: %d directories are left after a kill", len(left))
		}
	}
	m.note("vm: killed %d times; nothing was left, unless said otherwise.", count)
	f.ours = summarise(times)
	return f, nil
}
